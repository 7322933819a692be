"""The commands `focus trace …`: record one leg's signalling, read a recording, let it happen again."""

from __future__ import annotations

import http.client
import signal
import sys
import urllib.parse
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from sfu.errors import ParseError, TransportError
from signalling.cli.admin import DEFAULT_URL, UrlOption, streaming
from signalling.cli.ending import EXIT_DIFFERENT, fail, fail_at, recording_ended, say
from signalling.trace.lines import End, read_recording, written
from signalling.web.paths import TRACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from signalling.trace.lines import Header, Line, Recording

_FileArgument = Annotated[Path, typer.Argument(help="A recording.")]

app = typer.Typer(help="Record one leg's signalling; read it, and let it happen again.", no_args_is_help=True)


@app.command()
def record(
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write; - is standard output.")],
    user: Annotated[str | None, typer.Option("--user", help="Whose leg, such as @alice:example.org.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="Of which device; any if left out.")] = None,
    call: Annotated[
        str | None, typer.Option("--call", help="In which call (conf_id); any if left out.")
    ] = None,
    everybody: Annotated[
        bool, typer.Option("--everybody", help="All signalling, of everybody; it can't be replayed.")
    ] = False,
    seconds: Annotated[float | None, typer.Option("--seconds", help="End after this long.", min=0)] = None,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Record what is said to a leg and by it, until it is gone, Ctrl-C or SIGTERM.

    It may begin before there is a leg. No media is recorded; users, rooms, keys and addresses have other
    names in the file.
    """
    if (user is None) is not everybody:
        fail("either --user or --everybody")
    query = {"user": user, "device": device, "call": call, "seconds": seconds}
    told = urllib.parse.urlencode({name: value for name, value in query.items() if value is not None})
    try:
        with _opened(output) as file:
            end = _copy(f"{url.rstrip('/')}{TRACE}?{told}", file)
    except TransportError as error:
        fail(str(error))
    except OSError as error:
        fail_at(output, error)
    recording_ended(end)


@app.command()
def show(
    recording: _FileArgument,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a document.")] = False,
) -> None:
    """Print a recording's dialogue, descriptions in short."""
    from signalling.trace.show import as_markdown, as_text  # noqa: PLC0415

    read = _read(recording)
    typer.echo(as_markdown(read) if markdown else as_text(read.lines), nl=False)


@app.command()
def replay(
    recording: _FileArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write what would be recorded now.")
    ] = None,
) -> None:
    """Let a recording happen to the focus of this version, and print what is different.

    Ends with status 3 where something is. What media decides (who speaks, which layer, statistics) is not in
    a recording, and not compared.
    """
    # It brings the whole engine, which the other commands need not wait for.
    from signalling.trace.replay import Replay, differences  # noqa: PLC0415
    from signalling.trace.show import as_text  # noqa: PLC0415

    read = _read(recording)
    try:
        again = Replay(read).run()
    except ParseError as error:
        fail(f"{recording}: {error}")
    if output is not None:
        ended = End(again.end or "replayed")
        parts: list[Header | Line | End] = [again.header, *again.lines, ended]
        text = "".join(f"{written(one)}\n" for one in parts)
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            fail_at(output, error)
    different = list(differences(read, again))
    typer.echo(as_text(read.lines), nl=False)
    for one in different:
        typer.echo(one)
    say(f"{len(different)} differences")
    if different:
        raise typer.Exit(EXIT_DIFFERENT)


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    if str(path) == "-":
        yield sys.stdout
    else:
        with path.open("w", encoding="utf-8") as file:
            yield file


def _copy(url: str, file: IO[str]) -> str:
    """Copy a recording as it comes; return why it ended.

    Raises:
        TransportError: nothing answers there, or the focus refuses.
    """
    end = "the focus is gone"
    # Who records in the background, where a shell has Ctrl-C ignored, ends it politely too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with streaming(url) as answer:
            say("recording; Ctrl-C ends it")
            for raw in answer:
                line = raw.decode()
                if line.strip():
                    file.write(line)
                    file.flush()
                    end = line[8:-3] if line.startswith('{"end":"') else end
    except KeyboardInterrupt:
        end = "stopped"
        file.write(f"{written(End(end))}\n")
    except (OSError, http.client.HTTPException, ValueError):
        # Cut off: what there is, is a recording.
        pass
    return end


def _read(path: Path) -> Recording:
    try:
        with path.open(encoding="utf-8") as file:
            return read_recording(file)
    except OSError as error:
        fail_at(path, error)
    except (UnicodeDecodeError, ParseError) as error:
        fail(f"{path}: {error}")
