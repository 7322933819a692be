"""What a media server's control was told and chose, tick by tick, in one file; and the same again.

A recording holds numbers that are made in the process (transports, tracks, routes, calls), counters, rates
and times of the process's own clock. It holds no media, no SSRC, no address, no key and no name, nor anything
that one could be made of: it can be attached to a bug report as it is.

    file    := MAGIC, frame ...
    frame   := length (4 bytes, little-endian), zlib(msgpack); one of length 0 says that there is nothing yet
    frames  := Header, Beginning, Block ..., End      (without End it was cut off; it is read all the same)

- `Header`: version and policy of the focus, and which columns its arrays have.
- `Beginning`: all that `Control` goes by when the recording begins, as arrays (`sfu.control.ControlMemory`).
  So a call that is long under way is replayed to the bit, hysteresis and all.
- `Block`: some seconds of steps. A step is a tick, a full tick, or an allocation between two ticks. It has
  what was told before it (wishes, caps, who speaks, paths that changed) and, where there are any, rows of

| table | a row for | with |
| --- | --- | --- |
| encodings | each encoding, in each tick | bytes, bytes and frames by temporal layer, when its last came |
| estimates | each transport, when paths were looked at | target, stable, state |
| decisions | each route, when it was decided | encoding, temporal layer, cause |
| transports | each transport, in each tick; only if asked for | what is sent, round trip, REMB |
| feedback | each packet that a subscriber told of; only if asked for | all of `FEEDBACK_DTYPE` |

Every column of a block is written as differences from step to step, bytes of equal weight together, and
compressed: what does not change costs nothing (`columns.py`). Twenty people with cameras come to some
megabytes in ten minutes. With feedback it is some ten times that, for it has a row for each packet; but then
paths can be estimated again.
"""
