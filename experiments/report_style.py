"""How the report looks: one style sheet, kept in the page. Colours follow the reader's light or dark setting."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --page: #fbfaf7; --card: #ffffff; --ink: #1d2228; --soft: #5b6570; --line: #e0ddd5;
  --flagship: #0b7a75; --baseline: #56616d; --control: #9a5b13; --reference: #7a5ea8; --good: #1a7f37; --bad: #b3261e;
  --tint: #e7f3f1; --warn: #fdf1dc; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1c2024; --ink: #e8e6e1; --soft: #a3abb3;
  --line: #343a41; --flagship: #4cc9bf; --baseline: #a9b4bf; --control: #e0a458; --reference: #b9a0e6; --good: #5fcf7c;
  --bad: #ff8a80; --tint: #17302f; --warn: #372b17; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 2.2rem 1.2rem 4rem; }
h1 { font-size: 1.05rem; font-weight: 600; color: var(--soft); margin: 0 0 .4rem; }
.headline { font-size: clamp(1.25rem, 2.6vw, 1.7rem); line-height: 1.35; font-weight: 650; margin: 0 0 .8rem;
  max-width: 46rem; text-wrap: pretty; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0 0 .35rem; }
p, li { max-width: 46rem; }
p { margin: .4rem 0; }
.lead p { color: var(--ink); }
.soft, figcaption, .note { color: var(--soft); font-size: .9rem; }
.warning { background: var(--warn); border-left: 4px solid var(--control); padding: .6rem .9rem; border-radius: 4px;
  max-width: 46rem; }
.card, figure { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.1rem; }
.grid2 { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 1rem; }
figure { margin: 0; min-width: 0; }
figcaption { margin-top: .4rem; }
.plot { width: 100%; height: auto; display: block; font-size: 13px; }
.plot text { fill: var(--ink); font-family: inherit; }
.plot .tick, .plot .axis { fill: var(--soft); font-size: 12px; }
.plot .grid { stroke: var(--line); stroke-width: 1; }
.plot .name { font-size: 13px; } .plot .value { font-size: 12px; }
.plot .flagship { --mark: var(--flagship); } .plot .baseline { --mark: var(--baseline); }
.plot .control { --mark: var(--control); } .plot .reference { --mark: var(--reference); }
.plot text.flagship { fill: var(--flagship); font-weight: 650; }
.plot text.reference { fill: var(--reference); } .plot text.control { fill: var(--control); }
.plot .span { stroke: var(--mark); stroke-width: 3; stroke-linecap: round; opacity: .55; }
.plot .dot { fill: var(--mark); } .plot .hollow { fill: var(--card); stroke: var(--mark); stroke-width: 2; }
.plot .band { fill: var(--mark); opacity: .16; stroke: none; }
.plot .curve { fill: none; stroke: var(--mark); stroke-width: 2; stroke-linejoin: round; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 10px; background: var(--card); }
.scroll:focus-visible { outline: 2px solid var(--flagship); }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .42rem .6rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; line-height: 1.25; }
th:first-child, td.left, th.left { text-align: left; }
tbody th { font-weight: 600; }
.results th:first-child { position: sticky; left: 0; background: var(--card); min-width: 8.2rem; }
.results tbody th small { display: block; font-weight: 400; color: var(--soft); line-height: 1.3; max-width: 14rem; }
.flag { display: inline-block; font-size: .72rem; font-weight: 600; color: var(--bad); border: 1px solid currentColor;
  border-radius: 99px; padding: 0 .45rem; margin: .15rem .25rem 0 0; white-space: nowrap; }
details { margin: .5rem 0; } summary { cursor: pointer; color: var(--soft); font-size: .92rem; }
.results td small { display: block; color: var(--soft); font-size: .78rem; white-space: nowrap; }
.results tr.flagship > * { background: var(--tint); }
.group th { text-align: left !important; color: var(--soft); font-weight: 600; font-size: .8rem; padding-top: .9rem; }
.who-flagship { color: var(--flagship); } .who-control { color: var(--control); }
.who-reference { color: var(--reference); }
.talk { margin-top: 1.1rem; }
.talk > .said { font-weight: 600; margin: 0 0 .2rem; max-width: 46rem; }
.slate { table-layout: auto; } .slate td, .slate th { padding: .25rem .45rem; }
.slate .title { text-align: left; overflow-wrap: anywhere; min-width: 8rem; }
.slate th.wish { font-size: .78rem; text-align: center; max-width: 6.5rem; } .slate td.mark { text-align: center; }
.yes { color: var(--good); } .no { color: var(--bad); font-weight: 700; }
.clicked { color: var(--flagship); font-weight: 650; }
code, pre { font-family: ui-monospace, "Cascadia Mono", Menlo, "DejaVu Sans Mono", monospace; font-size: .86em; }
pre { overflow-x: auto; padding: .7rem .9rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .6rem 0; font-size: .92rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 560px) { main { padding: 1.3rem .8rem 3rem; } .card, figure { padding: .8rem .7rem; }
  .results th:first-child { min-width: 6.8rem; } .results tbody th small { display: none; } }
@media print { :root { --page: #fff; } main { max-width: none; } figure, .talk { break-inside: avoid; } }
"""
