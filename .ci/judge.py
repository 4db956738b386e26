#!/usr/bin/env python3
"""Judges what the CLI made, without any code of the project.

crc32c FILE                  prints the CRC-32C as `svala crc` does
expands FORMAT STREAM FILE   whether STREAM (gzip, zlib or raw) expands to FILE, with nothing behind it
"""
import sys
import zlib

POLYNOMIAL = 0x82F63B78  # Castagnoli, reflected


def table():
    entries = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
        entries.append(byte)
    return entries


def crc32c(data):
    entries = table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ entries[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def expand(form, stream):
    out = b""
    while stream:
        decoder = zlib.decompressobj({"gzip": 31, "zlib": 15, "raw": -15}[form])
        out += decoder.decompress(stream) + decoder.flush()
        if not decoder.eof:
            raise SystemExit("the stream does not end")
        stream = decoder.unused_data
        if stream and form != "gzip":
            raise SystemExit(f"{len(stream)} bytes behind the stream")
    return out


def read(name):
    with open(name, "rb") as file:
        return file.read()


def main(arguments):
    # The check value of CRC-32C (RFC 3720 B.4 has others): a judge that is wrong is worse than none.
    assert crc32c(b"123456789") == 0xE3069283
    match arguments:
        case ["crc32c", name]:
            print(f"{crc32c(read(name)):08x}  {name}")
        case ["expands", form, stream, name]:
            if expand(form, read(stream)) != read(name):
                raise SystemExit(f"{stream} does not expand to {name}")
        case _:
            raise SystemExit(__doc__)


main(sys.argv[1:])
