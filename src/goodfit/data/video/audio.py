"""The sound track of a written video: copied as it is where MP4 takes it, otherwise encoded as AAC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
from av.audio.resampler import AudioResampler

from goodfit.data.video.containers import open_container

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction
    from pathlib import Path

    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

COPIED = ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac")
"""Codecs that players expect in an MP4 file; PCM and Vorbis are not among them."""

_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_AAC_FORMAT = "fltp"
_AAC_SAMPLES = 1024
"""Samples in a packet of AAC."""


def audio_stream(container: InputContainer) -> AudioStream | None:
    """Give the sound track that players take, or None where there is none that can be read."""
    streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
    best = container.streams.best("audio") if streams else None
    return next((stream for stream in streams if stream is best), streams[0] if streams else None)


class AudioTrack:
    """Brings the sound of a source into an output, a stretch at a time, so that both tracks advance together.

    Args:
        source: a video file with a sound track.
        output: where it goes; nothing may have been written to it yet.
    """

    def __init__(self, source: Path, output: OutputContainer) -> None:
        self._container: InputContainer = open_container(source)
        found = audio_stream(self._container)
        assert found is not None, "the source has no sound track"
        self._found = found
        self._output = output
        self.copied = found.codec_context.codec.canonical_name in COPIED
        self._stream: AudioStream
        if self.copied:
            self._stream = output.add_stream_from_template(found)
        else:
            rate = found.rate if found.rate in _AAC_RATES else 48000
            layout = "mono" if found.codec_context.channels == 1 else "stereo"
            self._stream = output.add_stream("aac", rate=rate, layout=layout)
            self._stream.format = _AAC_FORMAT
        self._packets = self._copied() if self.copied else self._encoded()
        self._waiting: Packet[AudioStream] | None = None

    @property
    def clock_start(self) -> float:
        """Seconds on the source's clock where its first track begins; the output's clock begins there."""
        start = self._container.start_time
        return start / av.time_base if start is not None else 0.0

    def write_until(self, seconds: float | None) -> None:
        """Write the packets that begin before a time on the output's clock; None writes the rest."""
        while True:
            packet = self._waiting or next(self._packets, None)
            self._waiting = packet
            if packet is None or (seconds is not None and _begin(packet) > seconds):
                return
            self._output.mux(packet)
            self._waiting = None

    def close(self) -> None:
        """Let go of the source."""
        self._container.close()

    def _copied(self) -> Iterator[Packet[AudioStream]]:
        for packet in self._container.demux(self._found):
            if packet.size == 0 or packet.dts is None:
                continue
            shift = round(self.clock_start / packet.time_base)
            packet.pts = packet.pts - shift if packet.pts is not None else None
            packet.dts = packet.dts - shift
            packet.stream = self._stream
            yield packet

    def _encoded(self) -> Iterator[Packet[AudioStream]]:
        stream = self._stream
        resampler = AudioResampler(_AAC_FORMAT, stream.layout, stream.rate, _AAC_SAMPLES)
        for packet in self._container.demux(self._found):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue  # a damaged place in the sound is no reason to lose the video
            for frame in frames:
                if frame.pts is not None and frame.time_base is not None:
                    frame.pts -= round(self.clock_start / frame.time_base)
                for part in resampler.resample(frame):
                    yield from stream.encode(part)
        for part in resampler.resample(None):
            yield from stream.encode(part)
        yield from stream.encode(None)


def _begin(packet: Packet[AudioStream]) -> float:
    time = packet.dts if packet.dts is not None else packet.pts
    base: Fraction | None = packet.time_base
    return float(time * base) if time is not None and base is not None else 0.0
