"""Who receives whom, drawn for the terminal: a matrix while it fits, one line a receiver when it does not.

Pure: what there is to see goes in, what rich prints comes out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from loadtest.client.observations import LAYER_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

NAME_WIDTH: Final = 12
CELL_WIDTH: Final = 14
MIN_FRAMES_PER_S: Final = 1.0
"""Fewer, and a picture does not flow."""
MIN_SOUNDS_PER_S: Final = 25.0
"""Of 50; fewer, and sound does not flow."""
_GAP: Final = 3
"""Between two columns."""
_OTHER_LINES: Final = 5
"""Headline, heading, rule, legend, and the prompt below."""
_MAX_TROUBLES: Final = 3
LEGEND: Final = "layer (q, h, f) and frames a second · ♪ sound · 2! freezes so far"


@dataclass(frozen=True, slots=True)
class Cell:
    """One receiver's view of one sender."""

    layer: str | None
    frames_per_s: float
    sounds_per_s: float
    freezes: int
    wrong_frames: int

    @property
    def has_video(self) -> bool:
        """Whether pictures flow."""
        return self.frames_per_s >= MIN_FRAMES_PER_S

    @property
    def has_audio(self) -> bool:
        """Whether sound flows."""
        return self.sounds_per_s >= MIN_SOUNDS_PER_S


@dataclass(frozen=True, slots=True)
class Person:
    """One participant."""

    name: str
    has_joined: bool
    trouble: str | None


@dataclass(frozen=True, slots=True)
class View:
    """What there is to see; `cells` by the indexes of receiver and sender in `people`."""

    seconds: float
    people: tuple[Person, ...]
    cells: Mapping[tuple[int, int], Cell]

    @property
    def present(self) -> int:
        """How many are in the call."""
        return sum(person.has_joined and person.trouble is None for person in self.people)

    def headline(self) -> str:
        """The state of the call in one line."""
        pairs = len(self.cells)
        video = sum(cell.has_video for cell in self.cells.values())
        audio = sum(cell.has_audio for cell in self.cells.values())
        return (
            f"{self.seconds:.0f} s · {self.present}/{len(self.people)} in the call"
            f" · video {video}/{pairs} · sound {audio}/{pairs} pairs"
        )


def render(view: View, width: int, height: int) -> Group:
    """Draw what there is to see into this many columns and lines."""
    troubles = [f"{person.name}: {person.trouble}" for person in view.people if person.trouble is not None]
    lines = max(1, height - _OTHER_LINES - min(len(troubles), _MAX_TROUBLES))
    fits_width = NAME_WIDTH + len(view.people) * (CELL_WIDTH + _GAP) <= width
    if fits_width and len(view.people) <= lines:
        table, caption = _matrix(view), LEGEND
    else:
        table, caption = _summary_table(view, lines)
    parts: list[RenderableType] = [_line(view.headline(), "bold"), table, _line(caption, "dim")]
    parts += [_line(trouble, "red") for trouble in troubles[:_MAX_TROUBLES]]
    return Group(*parts)


def short_names(names: Sequence[str]) -> list[str]:
    """Names without the beginning that all of them share, as far as it ends in a dash."""
    shared = names[0][: names[0].rfind("-") + 1] if len(names) > 1 else ""
    while not all(name.startswith(shared) for name in names):
        shared = shared[: shared.rfind("-", 0, -1) + 1]
    return [name.removeprefix(shared) for name in names]


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)


def _matrix(view: View) -> Table:
    table = _table()
    table.add_column("receiver", width=NAME_WIDTH, overflow="ellipsis", no_wrap=True)
    for person in view.people:
        table.add_column(f"from {person.name}", width=CELL_WIDTH, overflow="ellipsis", no_wrap=True)
    for row, receiver in enumerate(view.people):
        cells = [
            Text("·", style="dim") if row == column else _cell(view.cells[row, column])
            for column in range(len(view.people))
        ]
        table.add_row(_name(receiver), *cells)
    return table


def _cell(cell: Cell) -> Text:
    text = Text()
    text.append("♪ " if cell.has_audio else "- ", style="green" if cell.has_audio else "red")
    if cell.has_video:
        text.append(f"{cell.layer} {cell.frames_per_s:.0f} fps", style="green")
    else:
        text.append("no video", style="red")
    if cell.freezes:
        text.append(f" {cell.freezes}!", style="yellow")
    return Text(f"{cell.wrong_frames} WRONG", style="bold red") if cell.wrong_frames else text


def _summary_table(view: View, lines: int) -> tuple[Table, str]:
    table = _table()
    table.add_column("receiver", width=NAME_WIDTH, overflow="ellipsis", no_wrap=True)
    for heading in ("video", "layers", "fps", "sound", "freezes", "wrong"):
        table.add_column(heading, justify="left" if heading == "layers" else "right", no_wrap=True)
    received: list[list[Cell]] = [[] for _ in view.people]
    for (receiver, _), cell in view.cells.items():
        received[receiver].append(cell)
    # The worst first: they are what one looks for.
    order = sorted(range(len(view.people)), key=lambda row: _goodness(received[row]))
    for row in order[:lines]:
        table.add_row(_name(view.people[row]), *_summary(received[row]))
    left_out = order[lines:]
    well = sum(all(map(_is_well, received[row])) for row in left_out)
    return table, f"and {len(left_out)} more, {well} of them receive everything" if left_out else ""


def _summary(cells: list[Cell]) -> list[Text]:
    flowing = [cell for cell in cells if cell.has_video]
    layers = Counter(cell.layer for cell in flowing)
    known = [f"{name} {layers[name]}" for name in reversed(LAYER_NAMES) if layers[name]]
    average = sum(cell.frames_per_s for cell in flowing) / len(flowing) if flowing else 0.0
    freezes = sum(cell.freezes for cell in cells)
    wrong = sum(cell.wrong_frames for cell in cells)
    return [
        _share(len(flowing), len(cells)),
        Text(", ".join(known)),
        Text(f"{average:.0f}"),
        _share(sum(cell.has_audio for cell in cells), len(cells)),
        Text(str(freezes), style="yellow" if freezes else "dim"),
        Text(str(wrong), style="bold red" if wrong else "dim"),
    ]


def _share(part: int, whole: int) -> Text:
    return Text(f"{part}/{whole}", style="green" if part == whole else "red")


def _goodness(cells: list[Cell]) -> tuple[int, int, int]:
    flowing = sum(cell.has_video + cell.has_audio for cell in cells)
    return -sum(cell.wrong_frames for cell in cells), flowing, -sum(cell.freezes for cell in cells)


def _is_well(cell: Cell) -> bool:
    return cell.has_video and cell.has_audio and not cell.wrong_frames


def _name(person: Person) -> Text:
    if person.trouble is not None:
        return Text(person.name, style="red strike")
    return Text(person.name, style="bold" if person.has_joined else "dim")


def _line(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
