"""The page's style sheet: light and dark by the reader's setting, light on paper, one column on a phone."""

from __future__ import annotations

from memdiag.report.svg import colour_rules, shape_rules

_LIGHT = (
    "--ground:#f5f7f9;--card:#ffffff;--ink:#17202b;--soft:#55606e;--edge:#dde3e9;--for:#15703c;--against:#b42318;"
    "--code:#f0f3f6;--leak:#b42318;--growth:#8a5a00;--underestimatedlimit:#0b6e8a;--nodepressure:#7a4fb5;"
    "--notkerneloom:#55606e;--inconclusive:#55606e;--none:#15703c;"
)
_DARK = (
    "--ground:#0b0f14;--card:#12171d;--ink:#e8edf3;--soft:#9aa6b4;--edge:#29323c;--for:#56d38a;--against:#ff7b72;"
    "--code:#1a2129;--leak:#ff7b72;--growth:#e0a93a;--underestimatedlimit:#58c4e2;--nodepressure:#b79bea;"
    "--notkerneloom:#9aa6b4;--inconclusive:#9aa6b4;--none:#56d38a;"
)
_RULES = """
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;
-webkit-text-size-adjust:100%}
main{max-width:1000px;margin:0 auto;padding:16px}
article+article{margin-top:48px}
section,header{background:var(--card);border:1px solid var(--edge);border-radius:10px;padding:16px 20px;margin:0 0 16px}
header{border-left-width:6px}
h1{font-size:1.15rem;margin:0;overflow-wrap:anywhere;font-weight:600}
h2{font-size:1.05rem;margin:0 0 10px}
h3{font-size:.95rem;margin:16px 0 6px;color:var(--soft);font-weight:600;overflow-wrap:anywhere}
p{margin:6px 0;overflow-wrap:anywhere}
.verdict{font-size:1.9rem;font-weight:700;margin:2px 0 4px;line-height:1.2}
.verdict small{font-size:1rem;font-weight:500;color:var(--soft);white-space:nowrap}
.soft{color:var(--soft);font-size:.92rem}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px 20px;margin:14px 0 0}
dt{color:var(--soft);font-size:.85rem}
dd{margin:0;font-weight:600;overflow-wrap:anywhere}
figure{margin:0 0 8px}
svg{display:block;width:100%;height:auto;font-family:inherit}
.narrow{display:none}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th{text-align:left;color:var(--soft);font-weight:600;font-size:.85rem}
th,td{padding:6px 12px 6px 0;border-bottom:1px solid var(--edge);vertical-align:top;overflow-wrap:anywhere}
tr:last-child td{border-bottom:0}
.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.speaks{white-space:nowrap;width:1%}
.speaks span{display:block}
code{background:var(--code);border-radius:4px;padding:1px 4px;font:.88em ui-monospace,Menlo,Consolas,monospace}
.for{color:var(--for)}
.against{color:var(--against)}
.mark{font-weight:700}
pre{background:var(--code);border-radius:6px;padding:10px 12px;margin:8px 0;
font:13px/1.45 ui-monospace,Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
ul,ol{margin:6px 0;padding-left:22px}
li{margin:4px 0;overflow-wrap:anywhere}
footer{color:var(--soft);font-size:.85rem;padding:0 4px 24px}
@media(max-width:640px){
main{padding:8px}
section,header{padding:12px 14px;border-radius:8px}
.wide{display:none}
.narrow{display:block}
.verdict{font-size:1.5rem}
.verdict small{display:block}
.stacks thead{display:none}
.stacks tr{display:block;border-bottom:1px solid var(--edge);padding:6px 0}
.stacks tr:last-child{border-bottom:0}
.stacks td{display:inline-block;border:0;padding:1px 14px 1px 0;width:auto}
.stacks td:empty{display:none}
.stacks .speaks{display:block;white-space:normal}
.speaks span{display:inline-block;margin-right:12px}
.stacks .number{text-align:left}
.stacks td[data-name]:not(:empty)::before{content:attr(data-name) ": ";color:var(--soft)}
}
@media print{
body{background:#fff;font-size:11pt}
main{max-width:none;padding:0}
section,header{border-color:#ccc;break-inside:avoid}
section.long{break-inside:auto}
.wide{display:block}
.narrow{display:none}
}
"""


def style_sheet() -> str:
    """Return the page's CSS."""
    light, dark = _LIGHT + colour_rules(dark=False), _DARK + colour_rules(dark=True)
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f"{shape_rules()}{_RULES}"
    )
