"""Style sheet of the page: one column on a phone, five pictures in a row on a screen."""

from __future__ import annotations

STYLE = """
:root { --ink: #1c2430; --soft: #55606e; --page: #fff; --card: #f3f5f8; --line: #d9dfe6;
        --gain: #0b6e4f; --loss: #9a3412; --bar: #3b6ea8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --soft: #a3adba; --page: #12161c; --card: #1c222b; --line: #323b47;
          --gain: #5fd3a6; --loss: #f2a071; --bar: #6f9fd8; }
}
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: var(--ink);
       background: var(--page); }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; font-weight: 600; margin: 1.2rem 0 .4rem; }
.lead { margin: .3rem 0 0; color: var(--soft); max-width: 46rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1rem;
         margin-top: 1.5rem; }
.card { background: var(--card); border-radius: 10px; padding: 1rem 1.2rem; }
.card h2 { font-size: 1rem; margin: 0 0 .4rem; color: var(--soft); }
.card p { margin: 0 0 .5rem; color: var(--soft); } .card p:last-child { margin: 0; }
.card .big { font-size: 1.7rem; font-weight: 650; line-height: 1.25; margin: 0; }
.card .gain { color: var(--gain); } .card .loss { color: var(--loss); }
.row { display: grid; grid-template-columns: repeat(5, 1fr); gap: .6rem; }
figure { margin: 0; } figure img { width: 100%; border-radius: 6px; display: block; }
figcaption { display: flex; justify-content: space-between; gap: .5rem; font-size: .85rem;
             color: var(--soft); padding-top: .2rem; }
figcaption span, td, .head span { font-variant-numeric: tabular-nums; white-space: nowrap; }
.way { padding-left: 1.4rem; margin: .5rem 0; } .way li { margin-bottom: .9rem; }
.way p { margin: .2rem 0 0; color: var(--soft); max-width: 52rem; }
.head { display: flex; justify-content: space-between; max-width: 52rem; }
.bar { background: var(--card); border-radius: 3px; height: 6px; max-width: 52rem; }
.bar i { display: block; height: 6px; border-radius: 3px; background: var(--bar); min-width: 2px; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
th, td { padding: .45rem .6rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child { text-align: left; } tbody th { font-weight: 600; }
thead th { border-bottom: 2px solid var(--ink); vertical-align: bottom; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .85rem; max-width: 52rem; }
@media (max-width: 46rem) {
  .row { grid-template-columns: repeat(2, 1fr); }
  .row figure:last-child { grid-column: span 2; width: calc(50% - .3rem); }
  .row figure:nth-child(3) { grid-column: 1; }
  thead { display: none; } tbody tr { display: block; padding: .6rem 0;
    border-bottom: 1px solid var(--line); }
  tbody th { display: block; border: 0; padding: 0 0 .2rem; text-align: left; }
  td { display: flex; justify-content: space-between; border: 0; padding: .1rem 0; }
  td::before { content: attr(data-label); color: var(--soft); white-space: normal; }
}
"""
