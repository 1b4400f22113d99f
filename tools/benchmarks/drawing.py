"""Plain SVG pictures of figures: bars in groups, and a curve over a logarithmic axis."""
from html import escape

COLORS = ["#1b6ca8", "#9aa5b1", "#c9a227", "#7a9e7e", "#b56576", "#5c5470"]
STYLE = "font-family='sans-serif' font-size='12' fill='#222'"


def text(x, y, words, anchor="start", **more):
    attributes = " ".join(f"{name.replace('_', '-')}='{value}'" for name, value in more.items())
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' {attributes}>{escape(words)}</text>"


def page(width, height, parts):
    return (f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' {STYLE}>"
            f"<rect width='{width}' height='{height}' fill='white'/>" + "".join(parts) + "</svg>\n")


def bars(path, title, note, groups):
    """One horizontal bar for each figure. `groups` is [(name, {who: figure or None})]; colors follow `who`."""
    names = list(dict.fromkeys(who for _, figures in groups for who in figures))
    color = {who: COLORS[index % len(COLORS)] for index, who in enumerate(names)}
    bar, left, width = 17, 190, 760
    largest = max(value or 0 for _, figures in groups for value in figures.values()) or 1
    parts, y = [text(16, 26, title, font_size=16, font_weight="bold"), text(16, 46, note, fill="#555")], 64
    for name, figures in groups:
        y += 22
        parts.append(text(16, y, name, font_weight="bold"))
        y += 6
        for who, value in figures.items():
            length = (value or 0) / largest * (width - left - 90)
            parts.append(text(left - 8, y + bar - 5, who, "end"))
            parts.append(f"<rect x='{left}' y='{y}' width='{length:.1f}' height='{bar - 3}' fill='{color[who]}'/>")
            words = f"{value:,.0f}" if value is not None else "no quiet window"
            parts.append(text(left + length + 6, y + bar - 5, words))
            y += bar
    with open(path, "w") as file:
        file.write(page(width, y + 16, parts))


def curve(path, title, note, x_name, series):
    """Points (x, y) of each series, x on a logarithmic axis, y from zero. `series` is {name: [(x, y)]}."""
    import math
    width, height, left, right, top, bottom = 760, 380, 80, 30, 70, 50
    xs = [x for points in series.values() for x, _ in points]
    largest = max((y for points in series.values() for _, y in points), default=1) * 1.1
    low, high = math.log10(min(xs)), math.log10(max(xs))

    def place(x, y):
        share = (math.log10(x) - low) / ((high - low) or 1)
        return left + share * (width - left - right), height - bottom - y / largest * (height - top - bottom)

    parts = [text(16, 26, title, font_size=16, font_weight="bold"), text(16, 46, note, fill="#555")]
    for line in range(5):
        value = largest * line / 4
        _, y = place(min(xs), value)
        parts.append(f"<line x1='{left}' x2='{width - right}' y1='{y:.1f}' y2='{y:.1f}' stroke='#ddd'/>")
        parts.append(text(left - 8, y + 4, f"{value:,.0f}", "end"))
    for x in sorted(set(xs)):
        parts.append(text(place(x, 0)[0], height - bottom + 18, f"{x / 1e6:,.0f} M", "middle"))
    parts.append(text((left + width - right) / 2, height - 10, x_name, "middle"))
    for index, (name, points) in enumerate(series.items()):
        color = COLORS[index % len(COLORS)]
        places = [place(x, y) for x, y in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f"<polyline points='{line}' fill='none' stroke='{color}' stroke-width='2'/>")
        parts += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3.5' fill='{color}'/>" for x, y in places]
        parts.append(text(places[-1][0], places[-1][1] - 8, name, "end", fill=color))
    with open(path, "w") as file:
        file.write(page(width, height, parts))
