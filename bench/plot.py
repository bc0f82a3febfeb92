"""Bars of a table of medians, as SVG: no library, so that whoever reads the repository sees what whoever runs it gets."""

import html

WIDTH, BAR, GAP, LEFT, RIGHT, TOP = 760, 22, 8, 150, 150, 64


MOST = 20    # times bare: beside what takes longer, nothing could be seen of the others


def latency(results):
    rows = sorted(((name, s) for name, s in results["latency"]["true"].items() if s["p50"] and (s["xBare"] or 1) <= MOST),
                  key=lambda row: row[1]["p50"])
    m = results["machine"]
    most = max(s["p50"] for _, s in rows)
    scale = (WIDTH - LEFT - RIGHT) / most
    height = TOP + len(rows) * (BAR + GAP) + 12
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13">',
             f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
             '<text x="12" y="22" font-size="15" font-weight="bold">“true” in a fresh root, from exec to exit: median, µs (× bare exec)</text>',
             f'<text x="12" y="42" fill="#555">{html.escape(m["model"])}, {m["processors"]} processors, Linux {html.escape(m["kernel"])}, '
             f'{m["date"]}, {max(s["runs"] for _, s in rows)} runs in turn</text>']
    for i, (name, s) in enumerate(rows):
        y = TOP + i * (BAR + GAP)
        color = "#2a6f97" if name.startswith("nsrootctl") else "#9aa5ab"
        width = max(2, s["p50"] * scale)
        parts += [f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end">{html.escape(name)}</text>',
                  f'<rect x="{LEFT}" y="{y}" width="{width:.0f}" height="{BAR}" fill="{color}"/>',
                  f'<text x="{LEFT + width + 6:.0f}" y="{y + 16}">{s["p50"]} ({s["xBare"]})</text>']
    return "\n".join([*parts, "</svg>", ""])
