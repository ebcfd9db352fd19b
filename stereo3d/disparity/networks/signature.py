"""Which inputs of a network take the pair, by their names and shapes."""

from dataclasses import dataclass
from pathlib import Path

from ...errors import StereoError
from ...foreign.tensors import PIXEL_TYPES, Layout, Tensor, layout_of

EXPECTED = (
    "Expected are two pictures (1 x 3 x H x W or 1 x H x W x 3, 1 channel for grey), one input with both in 6 channels "
    "(grey: 2), or one with both in a batch of 2; besides them at most the same pair at half size, or an initial flow "
    "of 2 channels."
)
_RIGHT, _LEFT = ("right", "image2", "img2", "input2", "im1r"), ("left", "image1", "img1", "input1")
_HALF = ("init", "half", "low", "small")


@dataclass(frozen=True)
class Signature:
    """The inputs of a network that matches a pair.

    Parameters
    ----------
    names : tuple of str
        Inputs of the left and the right picture, or of both.
    join : {"two", "channels", "batch"}
        How one input holds both.
    layout : Layout
        Of an input; `channels` are those of one picture.
    half : tuple of str
        Inputs of the pair at half size, () for none.
    flow : str or None
        Input of an initial flow.
    flow_size : (int or None, int or None)
        px, height and width of that flow.
    """

    names: tuple[str, ...]
    join: str
    layout: Layout
    half: tuple[str, ...] = ()
    flow: str | None = None
    flow_size: tuple[int | None, int | None] = (None, None)

    def __str__(self) -> str:
        form = self.layout
        sizes = " x ".join("any" if n is None else str(n) for n in (form.width, form.height))
        order = "channels last" if form.last else "channels first"
        return f"{', '.join(self.names)}: {sizes} px, {form.channels} channels, {order}, {form.kind}"


def recognise(inputs: list[Tensor], path: Path, chosen: str | None = None) -> Signature:
    """Return which inputs take the pair.

    Parameters
    ----------
    inputs : list of Tensor
    path : Path
        Of the model, for messages.
    chosen : str, optional
        Names of the left and the right input, "LEFT,RIGHT", or of the one input of both, where the user states them.

    Raises
    ------
    StereoError
        "bad_model", with the inputs that were found and those expected.
    """
    if chosen is not None:
        return _chosen(inputs, path, chosen)
    flows = [t for t in inputs if _is_flow(t) and len(inputs) > 1]
    rest = [t for t in inputs if t not in flows]
    pictures = [(t, form) for t in rest if (form := layout_of(t)) is not None]
    if len(flows) > 1 or len(pictures) < len(rest) or not pictures:
        raise _refusal(inputs, path)
    signature = None
    if len(pictures) == 1:
        signature = _single(*pictures[0])
    elif len(pictures) == 2 and _alike(pictures[0][1], pictures[1][1]):
        signature = _two(pictures)
    elif len(pictures) == 4:
        signature = _two_sizes(pictures)
    if signature is None:
        raise _refusal(inputs, path)
    return _with_flow(signature, flows)


def _is_flow(tensor: Tensor) -> bool:
    """Whether an input is an initial flow: two channels, and a name that says so."""
    named = any(word in tensor.name.lower() for word in ("flow", "disp", "prior", "guess"))
    return len(tensor.shape) == 4 and tensor.shape[1] == 2 and tensor.kind in PIXEL_TYPES and named


def _single(tensor: Tensor, form: Layout) -> Signature | None:
    if form.channels in (6, 2) and form.batch in (None, 1):
        one = Layout(form.batch, form.channels // 2, form.last, form.height, form.width, form.kind)
        return Signature((tensor.name,), "channels", one)
    if form.batch == 2 and form.channels in (1, 3):
        return Signature((tensor.name,), "batch", form)
    return None


def _alike(one: Layout, two: Layout) -> bool:
    return one == two and one.channels in (1, 3) and one.batch in (None, 1)


def _two(pictures: list[tuple[Tensor, Layout]]) -> Signature:
    (one, form), (two, _) = pictures
    names = one.name, two.name
    low = [name.lower() for name in names]
    if any(word in low[0] for word in _RIGHT) or any(word in low[1] for word in _LEFT):
        names = names[::-1]  # declared in the other order
    return Signature(names, "two", form)


def _two_sizes(pictures: list[tuple[Tensor, Layout]]) -> Signature | None:
    """Four pictures: the pair, and the pair at half size (CREStereo)."""
    small = [p for p in pictures if any(word in p[0].name.lower() for word in _HALF)]
    if len(small) != 2:
        heights = sorted({p[1].height or 0 for p in pictures})
        small = [p for p in pictures if p[1].height == heights[0]] if len(heights) == 2 else []
    large = [p for p in pictures if p not in small]
    if len(small) != 2 or not (_alike(small[0][1], small[1][1]) and _alike(large[0][1], large[1][1])):
        return None
    for a, b in ((small[0][1].height, large[0][1].height), (small[0][1].width, large[0][1].width)):
        if (a is None) != (b is None) or (a is not None and 2 * a != b):
            return None
    pair = _two(large)
    return Signature(pair.names, "two", pair.layout, half=_two(small).names)


def _with_flow(signature: Signature, flows: list[Tensor]) -> Signature:
    if not flows:
        return signature
    height, width = (n if isinstance(n, int) and n > 0 else None for n in flows[0].shape[2:])
    own = signature
    return Signature(own.names, own.join, own.layout, own.half, flows[0].name, (height, width))


def _chosen(inputs: list[Tensor], path: Path, chosen: str) -> Signature:
    """The signature of named inputs; what is left must be a flow or nothing."""
    names = [name.strip() for name in chosen.split(",")]
    found = [t for name in names for t in inputs if t.name == name]
    if len(found) != len(names) or len(set(names)) not in (1, 2):
        listed = ", ".join(t.name for t in inputs)
        raise StereoError(
            "bad_option", f"{path}: the network has no inputs {chosen!r}.", f"It has {listed}. Write inputs=LEFT,RIGHT."
        )
    rest = [t for t in inputs if t not in found]
    if any(not _is_flow(t) for t in rest) or len(rest) > 1:
        raise _refusal(inputs, path)
    forms = [layout_of(t) for t in found]
    if any(form is None for form in forms):
        raise _refusal(inputs, path)
    pictures = [(t, form) for t, form in zip(found, forms, strict=True) if form is not None]
    if len(pictures) == 1:
        signature = _single(*pictures[0])
    else:
        signature = (
            Signature((names[0], names[1]), "two", pictures[0][1]) if _alike(*(f for _, f in pictures)) else None
        )
    if signature is None:
        raise _refusal(inputs, path)
    return _with_flow(signature, rest)


def _refusal(inputs: list[Tensor], path: Path) -> StereoError:
    found = "; ".join(str(t) for t in inputs) or "none"
    return StereoError(
        "bad_model",
        f"{path}: the network's inputs are not those of a rectified pair: {found}.",
        f"{EXPECTED} Export it so that everything else is constant; -O matcher.inputs=LEFT,RIGHT names the inputs.",
        inputs=len(inputs),
    )
