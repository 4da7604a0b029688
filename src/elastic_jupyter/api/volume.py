"""What a spec says of a volume that is made for it."""

from enum import StrEnum

#: A ``resource.Quantity``, without a sign or an exponent.
QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|[MGTPE]|[KMGTPE]i)?$"


class AccessMode(StrEnum):
    """From how many nodes a volume can be used at the same time."""

    READ_WRITE_ONCE = "ReadWriteOnce"
    READ_WRITE_MANY = "ReadWriteMany"
