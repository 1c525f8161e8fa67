"""Distilled sets on the Hugging Face hub."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_dd.artifact.sharing import ARTIFACT, CARD, write_folder
from lightning_dd.errors import UserError
from lightning_dd.version import __version__

if TYPE_CHECKING:
    from lightning_dd.artifact.dataset import DistilledDataset

PREFIX = "hf:"
LIBRARY = {"library_name": "lightning-dd", "library_version": __version__}
NAME = re.compile(r"[\w.-]+/[\w.-]+")
LOG_IN = "log in by `hf auth login`, set HF_TOKEN, or give token"


def push(
    distilled: "DistilledDataset",
    repo_id: str,
    commit_message: str | None = None,
    private: bool | None = None,
    token: str | None = None,
    branch: str | None = None,
    create_pr: bool = False,
    license: str | None = None,
    card_kwargs: dict[str, Any] | None = None,
) -> str:
    """Upload a set; see `DistilledDataset.push_to_hub`."""
    hub = _hub()
    _check_name(repo_id)
    if not (token or hub.get_token()):
        raise UserError(f"Uploading to the hub needs a token that may write: {LOG_IN}.")
    if create_pr and branch:
        raise UserError("A pull request goes to the main branch: leave out branch or create_pr.")
    api = hub.HfApi(token=token, **LIBRARY)
    where = {"repo_id": repo_id, "repo_type": "dataset"}
    with tempfile.TemporaryDirectory() as folder:
        write_folder(
            distilled, Path(folder), license, card_kwargs, f"{PREFIX}{repo_id}{'@' + branch if branch else ''}"
        )
        with _sentences(repo_id, branch):
            api.create_repo(**where, private=private, exist_ok=True)
            if branch:
                api.create_branch(**where, branch=branch, exist_ok=True)
            kept = [CARD] if api.file_exists(**where, filename=CARD, revision=branch) else []
            message = commit_message or f"Distilled set of {len(distilled)} images"
            upload = {"folder_path": folder, "commit_message": message, "create_pr": create_pr, "revision": branch}
            done = api.upload_folder(**where, **upload, ignore_patterns=kept)
    return done.pr_url or done.commit_url


def download(
    name: str,
    token: str | None = None,
    cache_dir: str | os.PathLike | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> Path:
    """Return the folder of a set `hf:organization/name@revision`, from the cache where it is there already.

    Raises:
        UserError: there is no such set, it is not given, or the hub cannot be reached.
    """
    hub = _hub()
    repo_id, _, revision = name.removeprefix(PREFIX).partition("@")
    _check_name(repo_id)
    with _sentences(repo_id, revision):
        folder = hub.snapshot_download(
            repo_id,
            repo_type="dataset",
            revision=revision or None,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
            allow_patterns=[ARTIFACT, "whitening-*.safetensors"],
            **LIBRARY,
        )
    if not (Path(folder) / ARTIFACT).is_file():
        raise UserError(f"The data set {repo_id} on the hub has no {ARTIFACT}; it is not one of this program.")
    return Path(folder)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        need = "The Hugging Face hub needs the package huggingface_hub"
        raise UserError(f"{need}: pip install 'lightning-dd[hub]'.") from None
    return huggingface_hub


def _check_name(repo_id: str) -> None:
    if not NAME.fullmatch(repo_id):
        raise UserError(f"{repo_id!r} is no name on the hub: wanted is organization/name.")


@contextmanager
def _sentences(repo_id: str, revision: str | None) -> Iterator[None]:
    """Say in one sentence what the hub or the way to it refuses."""
    from huggingface_hub import errors

    transport = errors.HfHubHTTPError.__mro__[1]  # the library under it differs by version
    try:
        yield
    except errors.GatedRepoError:
        said = f"{repo_id} on the hub asks for consent: agree to its terms there, and {LOG_IN}"
    except errors.RepositoryNotFoundError:
        said = f"There is no data set {repo_id} on the hub, or it is private: check the name, or {LOG_IN}"
    except errors.RevisionNotFoundError:
        said = f"The data set {repo_id} on the hub has no revision {revision or 'main'}: name a branch, tag or commit"
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        at = f" at revision {revision}" if revision else ""
        said = f"{repo_id}{at} is not in the cache, and the hub cannot be reached or was not asked: check the network"
    except errors.HFValidationError:
        said = f"The hub takes no names like {repo_id!r}: wanted is organization/name"
    except errors.HfHubHTTPError as error:
        said = _refusal(error, repo_id)
    except (transport, OSError) as error:
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        said = f"{repo_id} on the hub cannot be reached ({reason}): check the network"
    else:
        return
    raise UserError(f"{said}.") from None


def _refusal(error: Any, repo_id: str) -> str:
    status = error.response.status_code
    if status in (401, 403):
        return f"The token does not give the right to write to {repo_id} on the hub: {LOG_IN}"
    said = (getattr(error, "server_message", None) or "").splitlines()
    return f"The hub refused {repo_id} with status {status}{f' ({said[0].rstrip(chr(46))})' if said else ''}: try again"
