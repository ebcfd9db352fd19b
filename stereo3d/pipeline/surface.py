"""The mesh of a run, its texture and its sigma."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import StereoError
from ..mesh.build import build_mesh, without_steep_fill
from ..mesh.texture import texture_mesh
from ..records import Finding, Matches, Mesh, Photo, RectifiedPair, Rig, RightViewPoints, SphereGrid, TwoView
from ..triangulation.points import along_the_ray
from ..two_view.bend import bend_covariance
from ..two_view.nominal_depth import nominal_sigma
from ..two_view.uncertainty import pose_covariance
from .config import Config

log = logging.getLogger(__name__)


def mesh_with_fallback(
    points: np.ndarray, sigma: np.ndarray, between: RightViewPoints | None, config: Config, pair: RectifiedPair
) -> tuple[Mesh, list[Finding]]:
    """Return the mesh of config.mesher, or of "grid" with a finding where it cannot be used.

    It cannot where its library is missing, or all around the camera. Where the pair has the epipole inside, holes are
    not filled by steep faces.
    """
    if pair.sphere is not None and config.mesher != "grid":
        message = f"the mesher {config.mesher} makes no surface all around the camera: the grid mesh was made instead."
        finding = Finding("grid_mesh", "info", message)
        config = replace(config, mesher="grid", options=_without_mesher(config))
        mesh, findings = _mesh_of_points(points, sigma, between, config, pair.sphere)
        findings = [finding, *findings]
    else:
        mesh, findings = _mesh_of_points(points, sigma, between, config, pair.sphere)
    return (without_steep_fill(mesh) if pair.kind in ("polar", "sphere") else mesh), findings


def _without_mesher(config: Config) -> dict[str, Any]:
    """The options of the other stages."""
    return {name: value for name, value in config.options.items() if not name.startswith("mesher.")}


def _mesh_of_points(
    points: np.ndarray,
    sigma: np.ndarray,
    between: RightViewPoints | None,
    config: Config,
    sphere: SphereGrid | None,
) -> tuple[Mesh, list[Finding]]:
    settings = {"sigma": sigma, "between": between, "faces": config.faces, "close": config.close}
    settings["sphere"] = sphere
    try:
        return build_mesh(points, method=config.mesher, **settings, **config.of("mesher")), []
    except StereoError as error:
        if error.code != "library_missing":
            raise
        log.warning("%s", error)
        message = f"{error.message} The grid mesh was made instead."
        finding = Finding("mesher_fallback", "warning", message, {}, error.advice)
        return build_mesh(points, method="grid", **settings), [finding]


def texture_and_sigma(mesh: Mesh, left: Photo, right: Photo, matches: Matches, view: TwoView, rig: Rig) -> Mesh:
    """Return the mesh with its texture, and with the pose's part added to sigma.

    The pose's part is added last: an error of the pose moves whole regions, so it must not decide what is smooth or
    torn.
    """
    mesh = texture_mesh(mesh, left, view.rig.cam1, second=right, view=view)
    if mesh.sigma is None:
        return mesh
    return replace(mesh, sigma=add_pose_sigma(mesh.vertices, mesh.sigma, matches, view, rig))


def add_pose_sigma(X: np.ndarray, sigma: np.ndarray, matches: Matches, view: TwoView, rig: Rig) -> np.ndarray:
    """sqrt(sigma^2 + sigma_pose^2): the standard deviation along the ray with that of an estimated pose.

    Parameters
    ----------
    X : (N, 3) float64
        Points, frame of camera 1.
    sigma : (N,) float
        Their standard deviation along the ray without the pose's part.
    rig : Rig
        The cameras before the estimate; where it holds the exact pose, sigma is returned as it is.

    Returns
    -------
    (N,) float
    """
    inliers = matches[view.inliers]
    if rig.posed and rig.error.exact:
        return sigma
    if rig.posed:
        return np.hypot(sigma, nominal_sigma(X, inliers.x1, inliers.x2, view)).astype(sigma.dtype)
    covariance, tangents = pose_covariance(inliers.x1, inliers.x2, view)
    if view.rig.wide:
        return np.hypot(sigma, along_the_ray(X, view, covariance, tangents)).astype(sigma.dtype)
    covariance = covariance + bend_covariance(inliers.x1, inliers.x2, view)[0]
    return np.hypot(sigma, along_the_ray(X, view, covariance, tangents)).astype(sigma.dtype)
