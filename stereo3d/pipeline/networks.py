"""Networks that the user brings: loaded and checked before a photo is read."""

from ..disparity.choice import NETWORKS
from ..disparity.networks.matcher import open_network
from ..features.networks import NETWORK_DETECTORS, check_detector, check_matcher
from .config import Config


def check_networks(config: Config) -> None:
    """Load the networks that a Config names, and refuse those whose inputs or outputs do not fit their purpose.

    Raises
    ------
    StereoError
        "library_missing" without onnxruntime; "file_missing", "bad_model", "bad_option".
    """
    if config.matcher in NETWORKS:
        open_network(**config.of("matcher")).close()
    options = config.of("detector")
    if config.detector in NETWORK_DETECTORS:
        check_detector(config.detector, options.get("model"))
    if options.get("matcher_model") is not None:
        check_matcher(options["matcher_model"])
