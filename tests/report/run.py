#!/usr/bin/env python3
"""The report of `weir backtest` in a headless Chromium: what is drawn, what it asks for, how it behaves.

  python run.py --binary PATH [--chromium PROGRAM] [--picture FILE.png --data FOLDER -- ARGUMENTS]

Fails on: a message in the console, a request to anywhere, a plot without its band or its alarms (pixels are counted),
a name of a series that becomes markup, a table or a zoom that does not work, a page wider than a phone, weak contrast.
With --picture it also takes the picture for the README, of the series in --data. Standard library only.
"""

import argparse
import math
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

from browser import Page

HOSTILE = '<img src="https:evil.invalid" onerror=window.hit=1><script>window.hit=1<'
START = 1_741_000_000
DAY = 1440

# Pixels of a canvas by what they show: the share of the plot's columns with band pixels, the same for the value's
# line, and the number of pixels in the alarm colour.
COUNT = """
(selector, dark) => {
  const canvas = document.querySelector(selector + " canvas");
  const { width, height } = canvas;
  // from a copy: reading the plot's own canvas makes the browser complain
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, width, height);
  const near = (i, [r, g, b], by) =>
    Math.abs(data[i] - r) <= by && Math.abs(data[i + 1] - g) <= by && Math.abs(data[i + 2] - b) <= by;
  const opaque = (i) => data[i + 3] > 240;
  const columns = { band: 0, value: 0 };
  let alarm = 0;
  // colours as in report.css; the band is a tint: not opaque, and blue
  const ink = dark ? [228, 234, 240] : [28, 39, 51];
  const red = dark ? [255, 92, 108] : [200, 16, 46];
  for (let x = 0; x < width; x++) {
    let [band, value] = [0, 0];
    for (let y = 0; y < height; y++) {
      const i = 4 * (y * width + x);
      const tint = data[i + 3] > 40 && data[i + 3] < 140 && data[i + 2] > data[i] + 60;
      if (tint) band++;
      if (opaque(i) && near(i, ink, 40)) value++;
      if (opaque(i) && near(i, red, 12)) alarm++;
    }
    if (band >= 6) columns.band++;
    if (value >= 1) columns.value++;
  }
  return { band: columns.band / width, value: columns.value / width, alarm };
}
"""

# Lowest contrast of a text against what is behind it, with the text.
CONTRAST = """
() => {
  const parse = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const part = (v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  let worst = [99, ""];
  for (const node of document.querySelectorAll("h1,h2,h3,p,td,th,dt,dd,small,label,li,button:not(:disabled),a,summary")) {
    if (!node.textContent.trim() || !node.offsetParent) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < worst[0]) worst = [contrast, `${node.tagName}: ${node.textContent.slice(0, 40)}`];
  }
  return worst;
}
"""


def check(name, holds, detail=""):
    """Ends the run when something does not hold."""
    if not holds:
        sys.exit(f"FAILED {name}: {detail}")
    print(f"ok  {name}" + (f"  ({detail})" if detail else ""))


def series(folder, name, rows, incidents):
    """A daily wave with noise; the value jumps inside incidents."""
    noise = random.Random(7)
    path = folder / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        file.write("timestamp,value,label\n")
        for minute in range(rows):
            inside = any(a <= minute < b for a, b in incidents)
            value = 50 + 10 * math.sin(minute / DAY * math.tau) + noise.gauss(0, 0.7) + 35 * inside
            file.write(f"{START + minute * 60},{value:.3f},{int(inside)}\n")


def report(binary, data, page, *options):
    command = [str(binary), "backtest", str(data), "--report", str(page), "--quiet", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    check("the report is written", done.returncode == 0, done.stderr.strip())


def drawn(page, number):
    page.evaluate(f"document.getElementById('s{number}').scrollIntoView({{ behavior: 'instant' }})")
    page.wait(f"document.getElementById('s{number}').dataset.drawn === 'yes'")


def pixels(page, number, dark):
    name = "dark" if dark else "light"
    drawn(page, number)
    # in two months of days the band hides behind the value
    long = page.evaluate(f"document.querySelector('#s{number} h3').textContent") == "long"
    least = 0.02 if long else 0.7
    seen = page.evaluate(f"({COUNT})('#s{number}', {str(dark).lower()})")
    shown = ", ".join(f"{key} {value:.2f}" for key, value in seen.items())
    check(f"band, value and alarms are drawn in series {number}, {name}",
          seen["band"] > least and seen["value"] > 0.7 and seen["alarm"] > 40, shown)


def behaviour(page):
    rows = "document.querySelectorAll('#table tbody tr').length"
    check("the table has all series", page.evaluate(rows) == 4)
    page.evaluate("document.querySelectorAll('#table thead button')[1].click()")
    first = "document.querySelector('#table tbody td').textContent"
    check("sorted by samples, the largest first", page.evaluate(first) == "long", page.evaluate(first))
    page.evaluate("(f => { f.value = 'CPU'; f.dispatchEvent(new Event('input')) })(document.getElementById('find'))")
    check("find leaves what it names", page.evaluate(rows) == 1)
    shown = "[...document.querySelectorAll('.plot')].filter(p => !p.hidden).length"
    check("find hides the other plots", page.evaluate(shown) == 1)
    page.evaluate("(f => { f.value = ''; f.dispatchEvent(new Event('input')) })(document.getElementById('find'))")
    number = page.evaluate("[...document.querySelectorAll('.plot')].find(p => p.querySelector('h3').textContent === 'cpu').id.slice(1)")
    drawn(page, number)
    box = page.evaluate(f"(r => [r.x, r.y, r.width, r.height])(document.querySelector('#s{number} .u-over').getBoundingClientRect())")
    before = settled(page, number)
    y = box[1] + box[3] / 2
    page.drag((box[0] + box[2] * 0.70, y), (box[0] + box[2] * 0.78, y))
    after = settled(page, number)
    check("dragging zooms", after["alarm"] > before["alarm"], f"{before['alarm']} alarm pixels, then {after['alarm']}")
    page.evaluate(f"document.querySelectorAll('#s{number} .tools button')[2].click()")
    check("All shows all again", settled(page, number) == before)
    page.evaluate(f"document.querySelectorAll('#s{number} .tools button')[1].click()")
    jumped = settled(page, number)
    check("the next alarm is shown", jumped != before and jumped["alarm"] > 100, f"{jumped['alarm']} alarm pixels")


def settled(page, number):
    """Pixels of a plot two frames from now."""
    frames = "requestAnimationFrame(() => requestAnimationFrame(done))"
    page.evaluate(f"new Promise((done) => {frames}).then(() => 0)")
    return page.evaluate(f"({COUNT})('#s{number}', false)")


def accessible(page):
    nameless = page.evaluate("""[...document.querySelectorAll('button,a,input')].filter(n =>
      !(n.textContent.trim() || n.getAttribute('aria-label') || n.labels?.length)).length""")
    check("every control has a name", nameless == 0, str(nameless))
    check("every plot has a text", page.evaluate("[...document.querySelectorAll('.area')].every(a => a.getAttribute('aria-label').includes('alarm'))"))
    for dark in (False, True):
        page.scheme(dark)
        page.wait(f"document.documentElement.dataset.scheme === '{'dark' if dark else 'light'}'")
        contrast, text = page.evaluate(f"({CONTRAST})()")
        check(f"contrast of all texts is at least 4.5 ({'dark' if dark else 'light'})", contrast >= 4.5, f"{contrast:.2f}, {text}")


def test(binary, chromium, folder):
    data = folder / "data"
    series(data, "cpu", 7 * DAY, [(5 * DAY, 5 * DAY + 60), (6 * DAY + 300, 6 * DAY + 330)])
    series(data, "memory", 7 * DAY, [(4 * DAY, 4 * DAY + 40)])
    series(data, HOSTILE.replace("/", ""), 4 * DAY, [(3 * DAY, 3 * DAY + 40)])
    series(data, "long", 60 * DAY, [(50 * DAY, 50 * DAY + 90)])
    file = folder / "report.html"
    report(binary, data, file, "--threshold", "above=75", "--sweep", "band=2,4")
    with Page(chromium) as page:
        page.open(file)
        for dark in (False, True):
            page.scheme(dark)
            page.wait(f"document.documentElement.dataset.scheme === '{'dark' if dark else 'light'}'")
            for number in range(4):
                pixels(page, number, dark)
        check("the name of a series stays text", page.evaluate("window.hit === undefined && !document.querySelector('img')"))
        page.open(file)
        behaviour(page)
        accessible(page)
        page.open(file, width=360, height=740)
        wide = page.evaluate("document.documentElement.scrollWidth")
        check("a phone shows it without scrolling sideways", wide <= 360, f"{wide} pixels")
        foreign = [url for url in page.requests if not url.startswith(("file:", "data:"))]
        check("nothing is asked of any host", not foreign and page.requests, str(foreign))
        check("no message in the console", not page.errors, str(page.errors))


def picture(binary, chromium, folder, data, path, more):
    """What the README shows."""
    file = folder / "picture.html"
    report(binary, data, file, *more)
    with Page(chromium) as page:
        page.open(file, width=1260, height=1235)
        page.wait("document.querySelector('.plot').dataset.drawn === 'yes'")
        page.picture(path)
        check("the picture has no message in the console", not page.errors, str(page.errors))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", required=True, type=pathlib.Path)
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    parser.add_argument("--picture", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("more", nargs="*", help="behind --: arguments of the backtest for the picture")
    options = parser.parse_args()
    if not options.chromium:
        sys.exit("Chromium is missing (Debian: apt-get install chromium)")
    binary = options.binary.resolve()
    with tempfile.TemporaryDirectory(prefix="weir-report-") as folder:
        folder = pathlib.Path(folder)
        if options.picture:
            picture(binary, options.chromium, folder, options.data, options.picture, options.more)
        else:
            test(binary, options.chromium, folder)
            print("The report is good.")


if __name__ == "__main__":
    main()
