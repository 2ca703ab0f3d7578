"""Reads the data frames of an R package (R Internals, 1.8 "Serialization formats" and 1.14 "Lazy loading"), with Python alone."""

import array
import bz2
import lzma
import struct
import sys
import zlib

# Types of R objects, and values that stand for one of a kind.
SYMBOL, PAIRS, CHARS, LOGICALS, INTEGERS, REALS, STRINGS, LIST = 1, 2, 9, 10, 13, 14, 16, 19
ALTERNATIVE, EMPTY_ENVIRONMENT, GLOBAL, NULL, REFERENCE = 238, 242, 253, 254, 255
NA_INTEGER = -(2**31)


class Reader:
    """One serialized object, in the format "X": big-endian."""

    def __init__(self, data):
        self.data, self.at, self.seen = data, 0, []
        if self.take(2) != b"X\n":
            raise ValueError("not R's XDR format")
        version, _, _ = self.integer(), self.integer(), self.integer()
        if version == 3:
            self.take(self.integer())

    def take(self, count):
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self):
        return struct.unpack(">i", self.take(4))[0]

    def numbers(self, code, size):
        found = array.array(code, self.take(self.integer() * size))
        if sys.byteorder == "little":
            found.byteswap()
        return found.tolist()

    def value(self):
        """The next object: lists of numbers and texts; a list with names is a dictionary."""
        flags = self.integer()
        kind = flags & 255
        if kind == PAIRS:
            return self.pairs(flags)
        found = self.plain(kind, flags)
        # Of a reference, these bits are its number.
        attributes = self.value() if flags & 512 and kind not in (CHARS, REFERENCE) else {}
        if "levels" in attributes:
            found = [None if code is None else attributes["levels"][code - 1] for code in found]
        return dict(zip(attributes["names"], found)) if kind == LIST and "names" in attributes else found

    def plain(self, kind, flags):
        if kind in (NULL, GLOBAL, EMPTY_ENVIRONMENT):
            return {} if kind == NULL else None
        if kind == REFERENCE:
            return self.seen[(flags >> 8 or self.integer()) - 1]
        if kind == SYMBOL:
            self.seen.append(self.value())
            return self.seen[-1]
        if kind == CHARS:
            length = self.integer()
            return None if length < 0 else self.take(length).decode()
        if kind in (LOGICALS, INTEGERS):
            return [None if number == NA_INTEGER else number for number in self.numbers("i", 4)]
        if kind == REALS:
            return [None if number != number else number for number in self.numbers("d", 8)]
        if kind in (STRINGS, LIST):
            return [self.value() for _ in range(self.integer())]
        if kind == ALTERNATIVE:
            _, state, _ = self.value(), self.value(), self.value()
            return state
        raise ValueError(f"R objects of type {kind} are not read")

    def pairs(self, flags):
        """A pairlist, from its tags to its values; values without a tag by their place."""
        found = {}
        while flags & 255 == PAIRS:
            if flags & 512:
                self.value()
            tag = self.value() if flags & 1024 else len(found)
            found[tag] = self.value()
            flags = self.integer()
        return found


def decompressed(chunk):
    """A chunk of a lazy-load database: its length, and what it is compressed with."""
    mark, body = chunk[4:5], chunk[5:]
    if mark == b"Z":
        return lzma.decompress(body, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 6}])
    return bz2.decompress(body) if mark == b"2" else zlib.decompress(chunk[4:])


def frames(base):
    """The database `base`.rdx and `base`.rdb: a function from a data frame's name to its columns."""
    with open(f"{base}.rdx", "rb") as index, open(f"{base}.rdb", "rb") as file:
        places = Reader(zlib.decompress(index.read(), 47)).value()["variables"]
        data = file.read()

    def frame(name):
        offset, length = places[name]
        return Reader(decompressed(data[offset : offset + length])).value()

    return frame
