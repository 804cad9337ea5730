"""What the page is told of runtime and bundle, and which bundles it does not take."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edgeswap_export._errors import UnsupportedExport
from edgeswap_export.web.settings import page_settings, require_page_bundle
from edgeswap_runtime.bundle.default import default_bundle
from edgeswap_runtime.bundle.manifest import MODEL_CROP, Manifest, read_manifest
from edgeswap_runtime.faces.paste import FACE_SHARE


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return read_manifest(default_bundle())


def test_settings_are_json_and_the_runtime_s_own(manifest: Manifest) -> None:
    settings = json.loads(json.dumps(page_settings(manifest), allow_nan=False))
    assert settings["crop"]["size_px"] == manifest.resolution_px
    assert np.array(settings["crop"]["landmarks_px"]).shape == (5, 2)
    assert settings["mask"]["radii_px"][0] == manifest.mask.radii_px[0] * FACE_SHARE
    assert len(settings["detector"]["level_views"]) == 6
    assert manifest.manifest_sha256 in settings["xmp"]


def test_bundles_that_a_page_cannot_run(manifest: Manifest) -> None:
    require_page_bundle(manifest, "a")
    graphs = {name: one for name, one in manifest.graphs.items() if name != "detector"}
    crop = manifest.model_crop
    for changed, words in (
        ({"graphs": graphs}, "no face detector"),
        ({"crops": {MODEL_CROP: replace(crop, mean=(0.0, 0.0, 0.0))}}, "RGB from -1 to 1"),
        ({"crops": {MODEL_CROP: replace(crop, color="BGR")}}, "in BGR, expected one"),
    ):
        with pytest.raises(UnsupportedExport, match=words):
            require_page_bundle(replace(manifest, **changed), "a")
