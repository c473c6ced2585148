"""Folders on their way to a workspace: code of jobs and what images are built of, content-addressed, so that what is there already
is not sent again.

Who uploads needs Storage Blob Data Contributor on the workspace's storage container; nothing is signed, the caller's own token goes along.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import Iterator
from urllib.parse import quote

from .errors import AlvaraError
from .wire import Client, segment
from .workspace import Workspace

_IGNORED = {".git", "__pycache__", ".ipynb_checkpoints", ".azureml", ".pytest_cache", ".venv"}
_MAX_FILES, _MAX_BYTES = 10_000, 1 << 30


def files_of(folder: str | os.PathLike[str]) -> list[tuple[str, Path]]:
    """The files below a folder by their path there, sorted. What .amlignore (else .gitignore) names stays behind, by its simple patterns;
    symbolic links that lead out of the folder are refused."""
    root = Path(folder).resolve()
    if not root.is_dir():
        raise AlvaraError("FolderNotFound", f"{folder} is no folder")
    ignore = _patterns(root)
    found: list[tuple[str, Path]] = []
    size = 0
    for path in _walk(root, root, ignore):
        if not path.resolve().is_relative_to(root):
            raise AlvaraError("InvalidFolder", f"{path} is a link to outside of {root}; copy the file into the folder, or leave the link out")
        found.append((path.relative_to(root).as_posix(), path))
        size += path.stat().st_size
        if len(found) > _MAX_FILES or size > _MAX_BYTES:
            raise AlvaraError("FolderTooLarge", f"{folder} has more than {_MAX_FILES} files or 1 GiB; leave data out with .amlignore, and give it as an input")
    return sorted(found)


def hash_of(files: list[tuple[str, Path]]) -> str:
    """A name for the content: the same files by the same paths have the same."""
    digest = hashlib.sha256()
    for name, path in files:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{len(name.encode())}:{name}{content}".encode())
    return digest.hexdigest()[:32]


def upload_code(workspace: Workspace, folder: str | os.PathLike[str]) -> str:
    """Uploads a folder as a version of code, unless it is there, and gives the version's id."""
    files = files_of(folder)
    if not files:
        raise AlvaraError("FolderEmpty", f"{folder} has no files")
    return _asset(workspace, "codes", files, "codeUri")


def upload_files(workspace: Workspace, files: list[tuple[str, Path]]) -> str:
    """Uploads files to a folder that their content names, and gives its URL, ending in a slash."""
    client, name = workspace.client, hash_of(files)
    return _send(client, _place(workspace, "codes", name), files) + "/"


def _asset(workspace: Workspace, kind: str, files: list[tuple[str, Path]], field: str) -> str:
    client, name = workspace.client, hash_of(files)
    path = f"{workspace.path}/{kind}/{name}/versions/1"
    try:
        return str(client.arm("GET", path)["id"])
    except AlvaraError as error:
        if error.status != 404:
            raise
    url = _send(client, _place(workspace, kind, name), files)
    return str(client.arm("PUT", path, {"properties": {field: url}})["id"])


def _place(workspace: Workspace, kind: str, name: str) -> str:
    path = f"{workspace.path}/{kind}/{segment(name)}/versions/1/startPendingUpload"
    answer = workspace.client.arm("POST", path, {"pendingUploadType": "TemporaryBlobReference"})
    reference = answer.get("blobReferenceForConsumption") or {}
    return f"{reference['blobUri']}/{answer['folder']}"


def _send(client: Client, place: str, files: list[tuple[str, Path]]) -> str:
    url = place.rstrip("/")
    for name, path in files:
        target = f"{url}/{quote(name)}"
        with path.open("rb") as content:
            # requests sends an empty file without a length, which the storage refuses.
            data: object = content if path.stat().st_size else b""
            client.storage("PUT", target, data=data, headers={"x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"})
    return url


def _patterns(root: Path) -> list[str]:
    for name in (".amlignore", ".gitignore"):
        file = root / name
        if file.is_file():
            lines = (line.strip() for line in file.read_text().splitlines())
            return [line for line in lines if line and not line.startswith(("#", "!"))]
    return []


def _walk(root: Path, folder: Path, ignore: list[str]) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        relative = entry.relative_to(root)
        if entry.name in _IGNORED or any(_matches(relative, p, entry.is_dir()) for p in ignore):
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(root, entry, ignore)
        elif entry.is_dir():
            raise AlvaraError("InvalidFolder", f"{entry} is a link to a folder; copy the folder, or name it in .amlignore")
        elif entry.is_file():
            yield entry


def _matches(path: Path, pattern: str, folder: bool) -> bool:
    if pattern.endswith("/"):
        if not folder:
            return False
        pattern = pattern.rstrip("/")
    text = PurePosixPath(path).as_posix()
    if "/" in pattern:
        return fnmatch.fnmatchcase(text, pattern.lstrip("/"))
    return fnmatch.fnmatchcase(path.name, pattern)
