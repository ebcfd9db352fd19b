"""A batch from its pairs to its index, read top to bottom: plan, cluster, rig, work, index."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Unpack

from ..errors import StereoError
from ..io.atomic import FileSet
from ..pipeline.config import Config, ConfigOptions, config_with
from .cluster import Tls, existing_cluster, local_cluster, require_distributed, worker_count
from .engine import Stop, perform
from .estimate import Estimate, estimate, speed_key
from .index import Index
from .pairing import natural
from .places import is_address, joined, path_of, read_bytes, record_bytes, stamp, write_bytes, write_files
from .plan import FORM, Plan, Request, job_of, make_plan, record_in
from .progress import Tally
from .records import ASIDE, DONE, FAILED, STATUS, Job, Outcome, Pair, outcome_of
from .rig import shared_rig
from .work import UNWRITTEN, MeshFiles, look_at_rig, run_pair

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 300.0  # s in which a worker of our own cluster must come back
CLAIMED = ".batch"  # a file that no batch writes: who claims it is the only one to write into the folder


@dataclass
class Engine:
    """Where the work is done.

    Attributes
    ----------
    client : Client, optional
        The caller's.
    address : str, optional
        Of a scheduler that is there; None with no client: workers of our own.
    workers : int, optional
        Of our own.
    """

    client: Client | None = None
    address: str | None = None
    workers: int | None = None
    tls: Tls = field(default_factory=Tls)

    @property
    def own(self) -> bool:
        """Whether the cluster is ours."""
        return self.client is None and self.address is None

    @contextlib.contextmanager
    def connected(self, workers: int) -> Iterator[Client]:
        """Yield the client; workers: of a cluster of our own."""
        if self.client is not None:
            yield self.client
        elif self.address is not None:
            with existing_cluster(self.address, self.tls) as client:
                yield client
        else:
            with local_cluster(workers) as client:
                yield client


@dataclass
class Batch:
    """A batch that is planned: what it will take, and `outcomes`, which carries it out."""

    plan: Plan
    engine: Engine
    same_rig: bool = False
    fail_fast: bool = False
    say: Callable[[str], None] = lambda line: None
    stop: Stop = field(default_factory=Stop)
    expected: Estimate | None = None
    tally: Tally = field(default_factory=lambda: Tally(0))
    client: Client | None = None
    function: Callable[[Job], dict[str, Any]] = run_pair
    given_out: dict[str, Job] = field(default_factory=dict)  # jobs of which no outcome has come yet

    @property
    def workers(self) -> int:
        """Workers of a cluster of our own."""
        memory = self.expected.memory if self.expected else 0.0
        return worker_count(memory, len(self.plan.to_do), self.engine.workers)

    def outcomes(self) -> Iterator[Outcome]:
        """Carry the batch out and yield what becomes of each pair, those kept of earlier batches first.

        The index is written from time to time, and at the end however that comes about.

        Raises
        ------
        StereoError
            "unwritable" where results cannot be written; "worker" where the cluster is lost.
        """
        out = self.plan.request.out
        self.tally = Tally(len(self.plan.to_do), kept=len(self.plan.kept))
        with contextlib.closing(FileSet()) as claim:
            if out is not None and not is_address(out):
                claim.claim(path_of(out) / CLAIMED)
            names = {pair.name for pair in self.plan.to_do} | {outcome.name for outcome in self.plan.kept}
            names |= {str(record["name"]) for record in self.plan.others}
            index = None if out is None else Index(out, len(names))
            if index is not None:
                for record in self.plan.others:
                    index.add(str(record["name"]), record)
                for outcome in self.plan.kept:
                    index.add_outcome(outcome)
            try:
                yield from self.plan.kept
                if self.plan.to_do:
                    yield from self._carried_out(index)
            except BaseException:
                if index is not None:
                    with contextlib.suppress(StereoError):  # the first failure is the one to be seen
                        self._catch_up(index)
                        index.write()
                raise
            if index is not None:
                self._catch_up(index)
                index.write()

    def _catch_up(self, index: Index) -> None:
        """Take in the pairs that were done when the batch was stopped, and whose answers were on their way."""
        for name, job in self.given_out.items():
            record = record_in(job.out or "")
            if record is not None and record.get("batch") == job.batch:
                index.add(name, record)

    def _carried_out(self, index: Index | None) -> Iterator[Outcome]:
        workers = self.workers
        with self.engine.connected(workers) as client:
            self.client = client
            self.tally.workers = workers if self.engine.own else _threads_of(client)
            plan = self.plan
            if self.same_rig:
                self._share_rig(client)
                if self.stop.asked:
                    return
            jobs = (self._packed(job) for job in plan.jobs())
            few = plan.request.ship or plan.request.out is None
            answers = perform(
                client,
                self.function,
                jobs,
                few=few,
                patience=PATIENCE if self.engine.own else None,
                alone=self.engine.own and workers > 1 and not kernels_are_kept(),
                stop=self.stop,
            )
            self.tally.begun = time.monotonic()
            with contextlib.closing(answers):
                for job, answer in answers:
                    outcome, thumb = self._outcome(job, answer)
                    self.tally.add(outcome)
                    if index is not None:
                        index.add_outcome(outcome, thumb)
                        index.write_in_time()
                    yield outcome
                    if self.fail_fast and outcome.state != DONE:
                        self.stop.asked = 2
        self._keep_speed()

    def _share_rig(self, client: Client) -> None:
        def look(pairs: Sequence[Pair], request: Request) -> list[dict[str, Any]]:
            jobs = (self._packed(job_of(pair, request, self.plan.batch)) for pair in pairs)
            found = dict(
                (
                    job.pair.name,
                    {"name": job.pair.name, "error": str(answer)} if isinstance(answer, BaseException) else answer,
                )
                for job, answer in perform(client, look_at_rig, jobs, few=True, stop=self.stop)
            )
            return [found[pair.name] for pair in pairs if pair.name in found]

        try:
            pairs = self.plan.to_do
            if self.plan.request.shuffle:  # drift is a matter of the sequence
                places = {name: k for k, name in enumerate(natural(pair.name for pair in pairs))}
                pairs = sorted(pairs, key=lambda pair: places[pair.name])
            rig = shared_rig(pairs, self.plan.request, look)
        except StereoError:
            if self.stop.asked:
                return
            raise
        for line in rig.lines:
            self.say(line)
        self.plan.request = rig.applied(self.plan.request)

    def _packed(self, job: Job) -> Job:
        """The job with the contents of files that its worker cannot read, and with the record that it cannot read."""
        request = self.plan.request
        if request.bring and job.out is not None:
            job = replace(job, known=record_in(job.out))
        files = [
            f for f in job.inputs.values() if request.ship or (is_address(f) and f.lower().startswith("memory://"))
        ]
        self.given_out[job.pair.name] = job
        if not files:
            return job
        contents = {}
        for file in files:
            with contextlib.suppress(StereoError):  # the worker says that it is missing
                contents[file] = read_bytes(file)
        return replace(job, contents=contents)

    def _outcome(self, job: Job, answer: Any) -> tuple[Outcome, bytes | None]:
        self.given_out.pop(job.pair.name, None)
        if isinstance(answer, BaseException):
            return self._given_up(job, answer), None
        facts = answer["facts"]
        error = facts.get("error") or {}
        if error.get("code") in UNWRITTEN and job.out is not None:
            raise StereoError(error["code"], error["message"], error.get("advice", ""))
        if answer.get("files") and job.out is not None:
            write_files(job.out, answer["files"].items())
        return outcome_of(job.pair, facts, kept=answer["kept"], result=answer.get("result")), answer["thumb"]

    def _given_up(self, job: Job, error: BaseException) -> Outcome:
        """The outcome of a pair whose worker died each time: its record is written here."""
        killed = type(error).__name__ == "KilledWorker"
        if not killed and type(error).__name__ in ("CancelledError", "FutureCancelledError"):
            raise StereoError(
                "worker",
                f"the cluster has dropped {job.pair.name}: its scheduler ended.",
                "The pairs that are done are kept: the same command continues.",
            ) from error
        facts = {
            "form": FORM,
            "name": job.pair.name,
            "state": ASIDE if killed else FAILED,
            "batch": job.batch,
            "key": job.key,
            "inputs": {role: {"file": file, "stamp": stamp(file)} for role, file in job.inputs.items()},
            "files": [],
            "error": _lost(error, killed, job),
        }
        if job.out is not None:
            write_bytes(joined(job.out, STATUS), record_bytes(facts))
        return outcome_of(job.pair, facts)

    def _keep_speed(self) -> None:
        """Remember the time of a pair for the estimates of later batches on this computer."""
        from ..pipeline.speeds import Speeds

        if self.engine.own and self.expected is not None and len(self.tally.seconds) >= 2:
            speeds, times = Speeds(), sorted(self.tally.seconds)
            speeds.add(speed_key(self.plan.request.fields), self.expected.work, times[len(times) // 2])
            speeds.save()


def _lost(error: BaseException, killed: bool, job: Job) -> dict[str, Any]:
    if not killed:
        return {"code": "worker", "message": f"its worker failed: {type(error).__name__}: {error}", "advice": ""}
    limit = f", or --timeout {job.timeout:g} was over" if job.timeout else ""
    return {
        "code": "worker",
        "message": f"it ended the process of its worker twice{limit}.",
        "advice": "Out of memory? Try it alone, with a smaller --max-size; --retry takes it up again.",
    }


def _threads_of(client: Client) -> int:
    threads: Any = client.nthreads()
    return max(1, sum(threads.values()))


def kernels_are_kept() -> bool:
    """Return whether compiled kernels of an earlier run lie in a folder that workers read."""
    from .. import kernel_cache

    source = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "features", "kernels.py")
    return any(any(folder.glob("kernels.*.index")) for folder in kernel_cache.cache_folders(source) if folder.is_dir())


def planned(pairs: Sequence[Pair], request: Request, engine: Engine | None = None, **settings: Any) -> Batch:
    """Return a batch, planned and estimated.

    Parameters
    ----------
    pairs : sequence of Pair
    request : Request
    engine : Engine, optional
    **settings
        Attributes of `Batch`.
    """
    if request.out is not None and not is_address(request.out):
        request = replace(request, out=os.path.abspath(path_of(request.out)))
    pairs = [absolute(pair) for pair in pairs]
    plan = make_plan(pairs, request)
    return Batch(plan, engine or Engine(), expected=estimate(plan.to_do, request), **settings)


def absolute(pair: Pair) -> Pair:
    """Return a pair with absolute paths, for workers that have another working folder."""

    def whole(file: str) -> str:
        if file[:1] == "/" and "/." not in file and "//" not in file:  # most of a long list
            return file
        return file if is_address(file) else os.path.abspath(path_of(file))

    options = dict(pair.options)
    for name in ("calib", "mask"):
        if options.get(name):
            given = options[name] if isinstance(options[name], list | tuple) else (options[name],)
            options[name] = tuple(whole(os.fspath(file)) for file in given)
    return replace(
        pair, left=whole(pair.left), right=None if pair.right is None else whole(pair.right), options=options
    )


def batch(  # noqa: PLR0913 - its settings are listed
    pairs: Iterable[Any],
    config: Config | None = None,
    client: Client | None = None,
    *,
    output: str | os.PathLike[str] | None = None,
    mesh: str = "mesh.glb",
    report: bool = False,
    retry: bool = False,
    timeout: float | None = None,
    workers: int | None = None,
    ship: bool = False,
    same_rig: bool = False,
    **options: Unpack[ConfigOptions],
) -> Iterator[Outcome]:
    """Reconstruct many pairs on the workers of a Dask cluster; yield their outcomes as they come.

    Each result is, bit for bit, that of `reconstruct` with the same photos and settings. The workers are processes: a
    script that calls this has its own start below `if __name__ == "__main__":`.

    Parameters
    ----------
    pairs : iterable
        Each is (left, right), paths or addresses (`s3://...`); the path of one file that holds both photos; a dict with
        left, right, name and fields of `Config` of its own; or a `Pair`.
    config : Config, optional
        The settings of all.
    client : distributed.Client, optional
        Of a cluster that is there. By default, worker processes on this machine: as many as cores and memory allow.
    output : path or address, optional
        Folder of the results: one folder a pair, and the index. What it holds already, of the same contents and
        settings, is not computed again. By default nothing is written and an outcome holds its `result`.
    mesh : str
        Name of the mesh file in the folder of a pair; its suffix chooses the format.
    report : bool
        Write a report page for each pair.
    retry : bool
        Carry out again what has failed before.
    timeout : float, optional
        s, after which a pair has failed.
    workers : int, optional
        Largest number of worker processes on this machine.
    ship : bool
        Send the photos to the workers and the files back, where there is no common file system.
    same_rig : bool
        The pairs are a sequence of one rig: its cameras and pose, where `config` has no calibration, and the search
        range are found once for all. Needs `output`.
    **options
        Fields of `Config`, which replace those of `config`.

    Returns
    -------
    iterator of Outcome
        In the order of their ends.

    Raises
    ------
    StereoError
        "library_missing" without Dask; "bad_option"; "unwritable"; "worker" where the cluster is lost. What is wrong
        with a pair is no error: its outcome says it.
    """
    require_distributed()
    given = ("config", "client", "output", "mesh", "report", "retry", "timeout", "workers", "ship", "same_rig")
    config = config_with(config, options, "batch", given)
    if same_rig and output is None:
        raise StereoError("bad_option", "same_rig keeps the rig in the folder of the results.", "Give output.")
    write = None if output is None else MeshFiles(mesh, report)
    request = Request(
        fields={f: v for f, v in vars(config).items() if v is not None},
        out=None if output is None else os.fspath(output),
        write=write,
        style={} if write is None else vars(write),
        retry=retry,
        ship=ship,
        timeout=timeout,
    )
    found = planned([pair_of(pair) for pair in pairs], request, Engine(client, workers=workers), same_rig=same_rig)
    return found.outcomes()


def pair_of(given: Any) -> Pair:
    """Return the pair that an argument of `batch` stands for; ValueError for anything else."""
    if isinstance(given, Pair):
        return given
    if isinstance(given, str | os.PathLike):
        return Pair(os.fspath(given))
    if isinstance(given, dict):
        rest = {name: value for name, value in given.items() if name not in ("left", "right", "name")}
        if "left" not in given:
            raise ValueError(f"a pair as a dict has left and right, got {', '.join(map(str, given))}")
        right = given.get("right")
        return Pair(os.fspath(given["left"]), right and os.fspath(right), given.get("name") or "", rest)
    if isinstance(given, list | tuple) and len(given) == 2 and all(isinstance(g, str | os.PathLike) for g in given):
        return Pair(os.fspath(given[0]), os.fspath(given[1]))
    raise ValueError(f"a pair is (left, right), a path, a dict or a Pair, got {given!r}")
