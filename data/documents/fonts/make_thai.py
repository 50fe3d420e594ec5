"""Makes the Thai fonts beside it from Noto Sans Thai: one glyph for each consonant with its marks.

Why: a PDF says for each glyph which letters it stands for. Where a consonant, its vowel and its tone mark are three glyphs, one
of them moved, readers copy them out doubled or in disorder ("ช้ช้"); where the three are one glyph, every reader copies out
what was written. Each new glyph is made of the old ones, placed as HarfBuzz places them: it looks the same.

Not part of the program. Needs `pip install fonttools uharfbuzz`:  python make_thai.py NotoSansThai-Regular.ttf CorehoursThai-Regular.ttf
"""

from __future__ import annotations

import sys
from itertools import product

import uharfbuzz as hb
from fontTools.feaLib.builder import addOpenTypeFeaturesFromString
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont

FAMILY = "Corehours Thai"
CONSONANTS = [chr(code) for code in range(0x0E01, 0x0E2F)]
VOWELS = list("ัิีึืุู็ํฺ")
TONES = list("่้๊๋์")
SARA_AM, NIKHAHIT, SARA_AA = "ำ", "ํ", "า"


def clusters() -> list[str]:
    """Every consonant with a vowel mark, a tone mark, both, or sara am with and without a tone."""
    marks = [*VOWELS, *TONES, *(vowel + tone for vowel, tone in product(VOWELS, TONES)), SARA_AM, *(tone + SARA_AM for tone in TONES[:4])]
    return [consonant + mark for consonant, mark in product(CONSONANTS, marks)]


def decomposed(cluster: str) -> str:
    """The letters that substitution sees: sara am comes apart, its circle before the tone."""
    if not cluster.endswith(SARA_AM):
        return cluster
    return cluster[0] + NIKHAHIT + cluster[1:-1] + SARA_AA


def make(source: str, target: str) -> None:
    """Write the font `target`."""
    shaper, font = hb.Font(hb.Face(hb.Blob.from_file_path(source))), TTFont(source)
    order, names, rules = font.getGlyphOrder(), font.getBestCmap(), []
    glyphs, metrics = font["glyf"], font["hmtx"]
    added = []
    for number, cluster in enumerate(clusters()):
        buffer = hb.Buffer()
        buffer.add_str(cluster)
        buffer.guess_segment_properties()
        hb.shape(shaper, buffer)
        pen, x = TTGlyphPen(glyphs), 0
        for info, place in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
            pen.addComponent(order[info.codepoint], (1, 0, 0, 1, x + place.x_offset, place.y_offset))
            x += place.x_advance
        name = f"cluster{number}"
        glyphs.glyphs[name] = pen.glyph()
        added.append((name, x))
        rules.append(f"sub {' '.join(names[ord(letter)] for letter in decomposed(cluster))} by {name};")
    font.setGlyphOrder([*order, *(name for name, _ in added)])
    glyphs.setGlyphOrder(font.getGlyphOrder())
    for name, advance in added:
        glyphs.glyphs[name].recalcBounds(glyphs)
        metrics.metrics[name] = (advance, glyphs.glyphs[name].xMin)
    del font["GSUB"]
    rules.sort(key=lambda rule: -len(rule.split()))
    addOpenTypeFeaturesFromString(font, "languagesystem DFLT dflt; languagesystem thai dflt;\nfeature ccmp { lookup clusters {\n"
                                  + "\n".join(rules) + "\n} clusters; } ccmp;", tables=["GSUB"])
    rename(font)
    font.save(target)


def rename(font: TTFont) -> None:
    """The name of a changed font is another one."""
    style = font["name"].getDebugName(2)
    for record in list(font["name"].names):
        if record.nameID in (1, 3, 4, 6, 16, 21, 25):
            text = {1: FAMILY, 16: FAMILY, 21: FAMILY, 4: f"{FAMILY} {style}", 3: f"{FAMILY} {style}"}.get(
                record.nameID, f"{FAMILY.replace(' ', '')}-{style.replace(' ', '')}")
            font["name"].setName(text, record.nameID, record.platformID, record.platEncID, record.langID)
    font["head"].modified = font["head"].created


if __name__ == "__main__":
    make(*sys.argv[1:3])
