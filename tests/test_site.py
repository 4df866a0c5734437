"""The documentation's site: every page, every link, and nothing of another host."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
COMMAND = re.search(r"(mkdocs build.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += [*sorted((ROOT / "docs").glob("*.md")), ROOT / "examples" / "README.md"]


class Assets(HTMLParser):
    """The addresses that a browser loads without being asked."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        if "src" in named:
            self.found.append(named["src"])
        if tag == "link" and named.get("rel") != "canonical":
            self.found.append(named["href"])


def build(folder, site):
    words = [sys.executable, "-m", *COMMAND.split(), "--site-dir", site]
    return subprocess.run(
        words,
        cwd=folder,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def copied(tmp_path):
    """The sources of the site, to be broken."""
    for folder in ("docs", "examples"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copytree(ROOT / "website", tmp_path / "website", symlinks=True)
    for path in (*PAGES[:3], ROOT / "LICENSE", ROOT / "mkdocs.yml"):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_page_is_on_the_site(path, site):
    name = path.relative_to(ROOT).with_suffix(".html")
    page = site / (name.with_name("index.html") if path.stem == "README" else name)
    title = re.search(r"^# (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert title in page.read_text(encoding="utf-8")


def test_a_page_loads_nothing_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assets = {asset for page in pages for asset in Assets(page.read_text(encoding="utf-8")).found}
    assert any(asset.endswith(".css") for asset in assets)
    assert any(asset.endswith("benchmarks.png") for asset in assets)
    assert not [asset for asset in assets if urlsplit(asset).netloc]


def test_the_styles_load_nothing_from_another_host(site):
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles
    assert not [
        style for style in styles if re.search(r"(?:url\(|@import)\W*(?:https?:)?//", style)
    ]


def test_a_link_that_leads_nowhere_is_an_error(copied):
    links = ["docs/nowhere.md", "docs/training.md#nowhere", "nowhere.png"]
    with (copied / "README.md").open("a", encoding="utf-8") as readme:
        readme.writelines(f"\n[broken]({link})\n" for link in links)
    done = build(copied, copied / "site")
    assert done.returncode != 0
    assert [link for link in links if f"'{link}'" not in done.stderr] == []


def test_a_page_that_nothing_leads_to_is_an_error(copied):
    (copied / "docs" / "lost.md").write_text("# Lost\n", encoding="utf-8")
    done = build(copied, copied / "site")
    assert done.returncode != 0
    assert "lost.md" in done.stderr


def test_the_site_s_folder_holds_links_and_no_copies():
    assert [path.name for path in (ROOT / "website").iterdir() if not path.is_symlink()] == []
