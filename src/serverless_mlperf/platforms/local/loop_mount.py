"""A file as a file system of its own, in the mount namespace of the calling process: what is full answers ENOSPC.

Standard library only: the controller imports it. Takes root. The loop device gives itself back when the last mount of
it is gone (LO_FLAGS_AUTOCLEAR), that is with the last process of the namespace, also after kill -9.
"""

import ctypes
import errno
import fcntl
import os
import struct
from typing import Final

CONTROL: Final = "/dev/loop-control"
_GET_FREE, _CONFIGURE, _AUTOCLEAR = 0x4C82, 0x4C0A, 4
"""linux/loop.h; LOOP_CONFIGURE is there since Linux 5.8."""
_FLAGS_AT, _CONFIG_BYTES = 8 + 52, 304
"""struct loop_config: fd, block size, then loop_info64, whose lo_flags is at 52."""
_TRIES: Final = 16
"""Another process may take the free device first."""
_NOSUID, _NODEV = 2, 4
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def mount_image(image: str, folder: str) -> None:
    """Mount an ext4 image at a folder; raises OSError. The namespace must be the process's own."""
    device = _attach(image)
    try:
        name = os.readlink(f"/proc/self/fd/{device}")  # noqa: PTH115 - no pathlib in this quick start
        if _LIBC.mount(os.fsencode(name), os.fsencode(folder), b"ext4", _NOSUID | _NODEV, None):
            number = ctypes.get_errno()
            raise OSError(number, f"cannot mount {image} at {folder}: {os.strerror(number)}")
    finally:
        os.close(device)
    os.rmdir(f"{folder}/lost+found")  # noqa: PTH106 - the same; Lambda's /tmp is empty


def _attach(image: str) -> int:
    """A loop device with the image in it; the device is in use as long as the descriptor or a mount is."""
    backing = os.open(image, os.O_RDWR)
    control = os.open(CONTROL, os.O_RDWR)
    try:
        for _ in range(_TRIES):
            device = os.open(f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}", os.O_RDWR)
            try:
                fcntl.ioctl(device, _CONFIGURE, _config(backing))
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:
                    raise
            else:
                return device
        raise OSError(errno.EBUSY, f"{image}: no loop device stayed free")
    finally:
        os.close(control)
        os.close(backing)


def _config(backing: int) -> bytes:
    config = bytearray(_CONFIG_BYTES)
    struct.pack_into("=I", config, 0, backing)
    struct.pack_into("=I", config, _FLAGS_AT, _AUTOCLEAR)
    return bytes(config)
