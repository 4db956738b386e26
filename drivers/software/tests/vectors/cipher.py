#!/usr/bin/env python3
"""Writes cipher.txt, beside this file: messages encrypted by OpenSSL, through the package `cryptography`.

A line is: mode, key, key of the tweak, nonce or initial vector or tweak, additional data, seed and length of the message,
what it becomes, tag. Bytes are hexadecimal, "-" is none. Byte i of a message is (131 i + 17 (i >> 8) + seed) mod 256. Of
messages over 100 bytes there is the CRC-32 and the last 16 bytes.
"""
import pathlib
import zlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

try:
    from cryptography.hazmat.decrepit.ciphers.modes import CFB
except ImportError:
    CFB = modes.CFB

SMALL = [1, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 100]
LARGE = [4095, 4096, 4112, 65504, 65535, 65536, 65537, 65552, 131041, 200_003]


def message(seed, length):
    return bytes((131 * i + 17 * (i >> 8) + seed) & 255 for i in range(length))


def number(seed, length):
    return bytes((seed * 37 + 101 * i + (i * i >> 1)) & 255 for i in range(length))


def shown(data):
    if len(data) <= 100:
        return data.hex() or "-"
    return f"{zlib.crc32(data):08x}:{data[-16:].hex()}"


def line(mode, key, tweak_key, iv, aad, seed, length, cipher, tag):
    fields = [mode, key.hex(), tweak_key.hex() or "-", iv.hex(), aad.hex() or "-", str(seed), str(length)]
    return " ".join([*fields, shown(cipher), tag.hex() or "-"])


def lines():
    seed = 0
    for bits in (128, 256):
        for length in [0, *SMALL, *LARGE]:
            seed += 1
            key, nonce, aad = number(seed, bits // 8), number(seed + 1, 12), number(seed + 2, seed * 7 % 45)
            sealed = AESGCM(key).encrypt(nonce, message(seed, length), aad)
            yield line("gcm", key, b"", nonce, aad, seed, length, sealed[:-16], sealed[-16:])
        for length in SMALL + LARGE:
            seed += 1
            key, iv = number(seed, bits // 8), number(seed + 1, 16)
            cipher = Cipher(algorithms.AES(key), CFB(iv)).encryptor()
            yield line("cfb", key, b"", iv, b"", seed, length, cipher.update(message(seed, length)) + cipher.finalize(), b"")
        for length in [length for length in SMALL + LARGE if length >= 16]:
            seed += 1
            keys, tweak = number(seed, bits // 4), number(seed + 1, 16)
            cipher = Cipher(algorithms.AES(keys), modes.XTS(tweak)).encryptor()
            half = len(keys) // 2
            data = cipher.update(message(seed, length)) + cipher.finalize()
            yield line("xts", keys[:half], keys[half:], tweak, b"", seed, length, data, b"")


if __name__ == "__main__":
    path = pathlib.Path(__file__).with_name("cipher.txt")
    path.write_text("".join(text + "\n" for text in lines()))
