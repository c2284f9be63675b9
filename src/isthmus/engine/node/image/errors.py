"""The one error of this package, with the kubelet's words as reasons."""


class ImageError(Exception):
    """An image cannot be had. `reason` is what a container's `waiting.reason` says; `str()` is fit for a person."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def pull_failed(message: str) -> ImageError:
    """The registry refused, or what it sent is not sound."""
    return ImageError("ErrImagePull", message)


def never_pull(message: str) -> ImageError:
    """Absent, and the pull policy forbids to fetch it."""
    return ImageError("ErrImageNeverPull", message)


def invalid_name(message: str) -> ImageError:
    """No image can have this name."""
    return ImageError("InvalidImageName", message)


def invalid_image(message: str) -> ImageError:
    """The image is here, but its content is not what it has to be."""
    return ImageError("ImageInspectError", message)
