"""The names of a stack's images, found without building them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.engines.build.cache import is_built, name_by_content
from gymctl.engines.build.copying import disk_errors, normalize_modes
from gymctl.engines.build.images import staged_build

if TYPE_CHECKING:
    from gymctl.stack import ImagePlan


@dataclass(frozen=True)
class ImageName:
    """An image by what is in it, and whether it was built."""

    name: str
    is_built: bool


def image_names(images: Sequence[ImagePlan], *, base_image: str | None = None) -> dict[str, ImageName]:
    """The name that ``build_images`` would give each image, by the tag in its plan.

    Raises:
        InputError: a server's folder does not exist, or a file in it cannot be read.
        EngineError: the build context cannot be written.
    """
    base = base_image or os.environ.get("GYMCTL_BASE_IMAGE") or None
    names: dict[str, ImageName] = {}
    for image in images:
        if image.gym is not None and image.gym.base in names:
            image = replace(image, gym=replace(image.gym, base=names[image.gym.base].name))  # noqa: PLW2901 - as built
        with disk_errors(), tempfile.TemporaryDirectory(prefix="gymctl-names-") as folder:
            context = Path(folder)
            build = staged_build(image, context, base, lambda _: None)
            normalize_modes(context)
            digest = build.digest(context)
            name = name_by_content(image.tag, digest)
            names[image.tag] = ImageName(name, is_built(name, digest))
    return names
