"""Result: the outcome of every stage."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from ..io.style import MeshOptions, PointOptions
from ..records import Finding, Matches, Mesh, Photo, RectifiedPair, Rig, RightViewPoints, TwoView
from ..records.checks import Record, brief
from ..resources import load_open3d
from .config import Config
from .surface import add_pose_sigma


@dataclass(frozen=True, eq=False, repr=False)
class Result(Record):
    """The outcome of every stage of a run, in order, and its measurements.

    Attributes
    ----------
    rig : Rig
        The cameras as given, before the estimate; `view.rig` holds the refined ones.
    disparity, confidence : (H, W) float32
        Of the first photo's rectified pixels, fused from the maps of both photos.
    points : (H, W, 3) float64
        Their points, frame of camera 1, NaN where unknown.
    sigma : (H, W) float64
        Standard deviation of each point along its ray relative to its neighbours: without the uncertainty of the
        pose, which moves whole regions (`mesh.sigma` includes it).
    between : RightViewPoints, optional
        Further points that the second photo saw between two pixels of the first.
    gravity : (3,) float64, optional
        Its direction in the frame of camera 1, from the photos' files or from vertical edges.
    stages : list of dict
        [{"name", "seconds", "peak_mb"}].
    coverage : float
        Share of the first photo's area that has a 3-D point.
    relative_sigma : float
        Median of the standard deviation of a point along its ray over its distance, an estimated pose included.
    verdict : str
        "good", "fair" or "poor"; "none" where the run was forced past an error.
    summary : str
        The verdict in one sentence, and its figures.
    """

    config: Config
    left: Photo
    right: Photo
    rig: Rig
    matches: Matches
    view: TwoView
    findings: list[Finding]
    pair: RectifiedPair
    d_range: tuple[float, float]
    disparity: np.ndarray
    confidence: np.ndarray
    points: np.ndarray
    sigma: np.ndarray
    mesh: Mesh
    stages: list[dict[str, Any]]
    coverage: float
    relative_sigma: float
    verdict: str
    summary: str
    between: RightViewPoints | None = None
    gravity: np.ndarray | None = None

    @property
    def unit(self) -> str:
        """Unit of points and mesh."""
        return self.view.rig.unit or "baseline"

    def _summary(self) -> Iterator[str]:
        yield repr(self.verdict)
        yield f"{100 * self.coverage:.0f} % of the photo covered"
        yield f"{len(self.mesh.vertices)} vertices"
        yield f"{len(self.mesh.faces)} faces"
        yield f"relative_sigma={brief(self.relative_sigma)}"
        yield f"unit={brief(self.unit)}"
        warnings = sum(f.severity != "info" for f in self.findings)
        yield f"{len(self.findings)} findings, {warnings} of them warnings"

    def _repr_html_(self) -> str:
        """Return verdict, findings and a picture of the mesh, for notebooks."""
        from .result_html import picture_of, result_html

        picture = picture_of(self.mesh, self.view.rig.cam1, self.pair.left, self.points)
        return result_html(repr(self), self.verdict, self.summary, self.findings, picture)

    def to_open3d_points(self) -> Any:  # Open3D states no types
        """Return the points as an `open3d.geometry.PointCloud` with their colours, in the frame of camera 1.

        They are those of `save_points`: the known ones of the map `points`, row by row.

        Raises
        ------
        StereoError
            "library_missing" where Open3D, or a system library that it needs, cannot be loaded.
        """
        open3d = load_open3d()
        known = np.isfinite(self.points[..., 2])
        cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(self.points[known]))
        cloud.colors = open3d.utility.Vector3dVector(self.pair.left[known] / 255)
        return cloud

    def depth_map(self) -> np.ndarray:
        """Return the depth (H, W) float32 of the mesh at each pixel of the first photo, `left.pixels`; NaN: no surface.

        Z in the frame of camera 1, in `unit`; of a panorama or a fisheye the distance from the camera. The photo is
        upright (EXIF's orientation and --rotate are applied) and has its lens distortion.

        Raises
        ------
        StereoError
            "library_missing" without Open3D.
        """
        return self.photo_maps()[0]

    def normal_map(self) -> np.ndarray:
        """Return the unit normals (H, W, 3) float32 of the mesh at each pixel of the first photo; NaN: no surface.

        Frame of camera 1, x right, y down, z forward; they point towards the camera. Grid and errors: `depth_map`.
        """
        normals = self.photo_maps(normals=True)[1]
        assert normals is not None
        return normals

    def confidence_map(self) -> np.ndarray:
        """Return the confidence (H, W) float32 of the disparity at each pixel of the first photo; 0: not measured."""
        from ..mesh.photo_grid import onto_photo

        known = np.isfinite(self.points[..., 2])
        return onto_photo(np.where(known, self.confidence, 0), self.pair.map1, self.left.size)

    def photo_maps(self, *, normals: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """Return `depth_map` and, where `normals` are asked for, `normal_map`, at the cost of one."""
        from ..mesh.photo_grid import cast_photo

        return cast_photo(self.mesh, self.view.rig.cam1, self.left.size, normals=normals)

    def cropped(self, crop: str | Sequence[float]) -> "Result":
        """Return the result with a part of its mesh, and the points that this part shows.

        Parameters
        ----------
        crop : "main", "x0,y0,x1,y1" or a sequence of numbers
            "main": the connected part that covers most of the first photo. Else a rectangle of its pixels, or the
            corners x0,y0,x1,y1,x2,y2,... of a lasso.

        Raises
        ------
        StereoError
            "bad_option", or "empty_mesh" where nothing is left.
        """
        from ..mesh.crop import crop_mesh, parse_crop, shown_in_photo

        size, crop = self.left.size, parse_crop(crop)
        mesh = crop_mesh(self.mesh, crop, size)
        shown = shown_in_photo(mesh, self.pair.map1, size)
        return replace(self, mesh=mesh, points=np.where(shown[..., None], self.points, np.nan))

    def middle(self, axes: str = "y-up", down: np.ndarray | None = None) -> np.ndarray:
        """Return the middle (3,) of the mesh's bounding box along the axes of a file, in the frame of camera 1.

        As `origin` of `save` and `save_points` it centres the model.

        Parameters
        ----------
        axes : str
            As for `write_mesh`.
        down : (3,) float, optional
            As for `write_mesh`.
        """
        from ..io.style import middle_of, rotation_to_file

        return middle_of(self.mesh.vertices, rotation_to_file(axes, down))

    def save(
        self, path: str | os.PathLike[str], *, solid: float | None = None, **style: Unpack[MeshOptions]
    ) -> list[Path]:
        """Write the mesh and return the files written, the mesh first.

        The model stands upright where `gravity` is known, else as its camera was held.

        Parameters
        ----------
        path : path
            Its suffix chooses the format: .obj, .ply, .glb, .stl or .usdz. Folders that are missing are made.
        solid : float, optional
            Thickness, in `unit`, of a closed shell for printing (.stl); in mm where the length of the unit is known.
        **style
            Keywords of `write_mesh`: axes, texture ("jpg" or "png"), quality (of the JPEG), name, unit, down,
            mark_filled, lit, origin, meshopt.

        Returns
        -------
        list of Path

        Raises
        ------
        StereoError
            As `write_mesh`.
        """
        from ..io.write_mesh import write_mesh

        options: MeshOptions = {"unit": self.unit, "down": self.gravity, **style}
        if solid is None:
            return write_mesh(path, self.mesh, **options)
        from ..io.units import metres_per
        from ..mesh.solid import check_thickness, solid_mesh

        check_thickness(solid, Path(path))
        mesh, metres = solid_mesh(self.mesh, solid), metres_per(self.unit)
        if metres is not None:  # slicers take the numbers of an STL as mm
            mesh = replace(mesh, vertices=mesh.vertices * (1000 * metres))
            origin = options.get("origin")
            options |= {"unit": "mm", "origin": None if origin is None else origin * (1000 * metres)}
        return write_mesh(path, mesh, **options)

    def save_points(self, path: str | os.PathLike[str], **style: Unpack[PointOptions]) -> Path:
        """Write the point cloud with colours and sigma; return its path.

        Parameters
        ----------
        path : path
            With a suffix of `POINT_WRITERS`: .ply, .xyz, .pcd, .las or .laz.
        **style
            Keywords of `write_points`: axes, unit, down, origin.

        Returns
        -------
        Path

        Raises
        ------
        StereoError
            As `write_points`.
        """
        from ..io.points import write_points

        known = np.isfinite(self.points[..., 2])
        defaults: PointOptions = {"unit": self.unit, "down": self.gravity}
        points = self.points[known]
        sigma = add_pose_sigma(points, self.sigma[known], self.matches, self.view, self.rig)
        return write_points(path, points, self.pair.left[known], sigma, **{**defaults, **style})
