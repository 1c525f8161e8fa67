"""Upload a distilled set to the Hugging Face hub: `push ARTIFACT ORGANIZATION/NAME`.

An artifact is a run's folder, that of several runs (the newest is taken), or a distilled.safetensors. With it go a copy
for viewers, its picture, the record and a card; a card that is there stays. Paths of this machine stay here. The token
is that of `hf auth login`, or HF_TOKEN.
"""

from lightning_dd.app.commands import parser


def main(arguments: list[str]) -> int:
    """Upload a set and return the exit code.

    Raises:
        UserError: there is no set, no token, or the hub refuses.
    """
    made = parser("push")
    add = made.add_argument
    add("artifact", metavar="ARTIFACT", help="a run's folder, or a distilled set")
    add("name", metavar="ORGANIZATION/NAME", help="of the data set on the hub, which is made where missing")
    add("--license", help="such as cc-by-4.0; mind that of the real images")
    add("--private", action="store_true", default=None, help="a new data set is private")
    add("--branch", help="to upload to, made where missing")
    add("--create_pr", action="store_true", help="open a pull request instead")
    add("--message", help="of the commit")
    given = made.parse_args(arguments)
    from lightning_dd.artifact.dataset import load

    where = {"private": given.private, "branch": given.branch, "create_pr": given.create_pr}
    said = {"commit_message": given.message, "license": given.license}
    address = load(given.artifact).push_to_hub(given.name, **where, **said)
    print(f"Uploaded: {address}")
    if given.license is None:
        print("The card states no license: --license gives one, or edit the card on the hub.")
    at = f"@{given.branch}" if given.branch else ""
    print(f"""It loads by lightning_dd.load("hf:{given.name}{at}").""")
    return 0
