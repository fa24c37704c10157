"""How the page looks: on a screen by day and night, on a phone, and on paper."""

STYLE = """
:root{color-scheme:light dark;--paper:#f3f5f7;--card:#fff;--ink:#17212b;--soft:#55626f;
--rule:#d5dce3;--model:#0a5ca8;--band:#a9cbea;--wrong:#b3261e;--peer:#6c7a87;--base:#8a5a00;
--alarm:#8c1d18;--on-alarm:#fff}
@media screen and (prefers-color-scheme:dark){:root{--paper:#0f1419;--card:#182029;--ink:#e6ebf0;
--soft:#a3b0bd;--rule:#33404c;--model:#74b8f7;--band:#27527a;--wrong:#ff9a90;--peer:#93a2b0;
--base:#e0aa4e;--alarm:#9c2a23}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;
overflow-wrap:anywhere}
main,header,footer,nav{max-width:1120px;margin:0 auto;padding:0 20px}
header{padding-top:28px}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 4px;font-weight:650}
nav ul{display:flex;flex-wrap:wrap;gap:2px 18px;margin:4px 0;padding:0;list-style:none;
font-size:.92rem}
nav a{display:inline-block;padding:4px 0;color:var(--model)}
a:focus-visible,.scroll:focus-visible{outline:2px solid var(--model);outline-offset:2px}
h2{font-size:1.25rem;margin:0 0 6px}
h3{font-size:1rem;margin:22px 0 6px}
p{margin:0 0 10px;max-width:75ch}
.lead{color:var(--soft);margin-bottom:16px}
.alarm{background:var(--alarm);color:var(--on-alarm);border-radius:8px;padding:14px 18px;
margin:0 0 12px}
.alarm strong{display:block;font-size:1.15rem;letter-spacing:.04em}
.alarm p{margin:0;max-width:none}
.note{border:1px solid var(--rule);border-left:4px solid var(--alarm);background:var(--card);
border-radius:6px;padding:10px 16px;margin:0 0 12px}
.pair+.note{margin-top:14px}.note p{margin:0;max-width:none}
section{background:var(--card);border:1px solid var(--rule);border-radius:10px;
padding:20px 22px;margin:16px 0}
dl,dd{margin:0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;
margin:14px 0}
.tiles>div{border:1px solid var(--rule);border-radius:8px;padding:12px 14px}
.tiles dt,.facts dt{color:var(--soft);font-size:.85rem}
.tiles dd{font-size:1.7rem;font-weight:650;line-height:1.25;font-variant-numeric:tabular-nums}
.bar,.score{display:block;width:100%;max-width:180px;height:auto;margin:4px 0 2px}
small{display:block;font-size:.78rem;font-weight:400;color:var(--soft);line-height:1.3;
white-space:nowrap}
ul{margin:0 0 10px;padding-left:1.3em}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(320px,100%),1fr));gap:0 36px}
.facts h3{margin-top:4px}
.facts dl>div{display:grid;grid-template-columns:9.5em 1fr;gap:10px;padding:4px 0;
border-top:1px solid var(--rule)}
.scroll{overflow-x:auto;margin:14px 0;background:
linear-gradient(90deg,transparent,var(--card) 60%) 100% 0/48px 100% no-repeat local,
linear-gradient(90deg,transparent,var(--band)) 100% 0/16px 100% no-repeat scroll}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;overflow-wrap:normal}
caption{text-align:left;font-weight:600;padding:4px 0}
th{font-weight:600}
.figures{width:100%;font-size:.92rem;border-collapse:separate;border-spacing:0}
.figures th,.figures td{padding:6px 10px;text-align:right;border-top:1px solid var(--rule);
vertical-align:top}
.figures th[scope=row],.figures thead th:first-child{text-align:left}
.figures tr+tr th:first-child:not([scope=row]){text-align:right}
.figures th:first-child{position:sticky;left:0;background:var(--card)}
.figures tr+tr th:first-child:not([scope=row]){position:static}
.figures thead th{color:var(--soft);font-size:.82rem;vertical-align:bottom}
.figures thead th[scope=colgroup]{text-align:center;color:var(--ink)}
.figures .total,.figures .total th{background:color-mix(in srgb,var(--band) 28%,var(--card))}
.figures .total th{white-space:nowrap}
.best{font-weight:700}
.grid{display:grid;gap:16px 20px;margin:14px 0;
grid-template-columns:repeat(auto-fill,minmax(min(236px,100%),1fr))}
.grid.wide{grid-template-columns:repeat(auto-fill,minmax(min(340px,100%),1fr))}
.grid.cards.wide{grid-template-columns:repeat(auto-fill,minmax(min(300px,100%),1fr))}
figure{margin:0}
figure.chart>figcaption{font-weight:600}
figure.chart svg{width:100%;max-width:390px;height:auto;display:block}
svg text{font-size:12px;fill:var(--ink);unicode-bidi:isolate}
svg .soft{fill:var(--soft)}svg .tiny{font-size:11px}svg .strong{font-weight:650}
svg .grid{stroke:var(--rule);stroke-width:1}svg .grid.zero{stroke:var(--peer)}
svg .chance{stroke:var(--peer);stroke-dasharray:4 4}
svg .curve{fill:none;stroke:var(--model);stroke-width:2.2;stroke-linejoin:round}
svg .curve.thin{stroke-width:1.4}
svg .model{fill:var(--model);stroke:var(--card);stroke-width:1}
svg .peer{fill:var(--peer)}svg .base{fill:var(--base)}
svg .range{stroke-width:2;stroke:var(--peer)}svg .range.base{stroke:var(--base)}
svg .range.model{stroke:var(--model);stroke-width:4}
svg .count{fill:var(--band)}svg .track{fill:var(--rule)}svg .band{fill:var(--band)}
svg .limit{stroke:var(--ink);stroke-width:2}
.confusion{width:100%;table-layout:fixed;font-size:.92rem}
.confusion th{font-size:.78rem;color:var(--soft);padding:4px;text-align:left;
overflow-wrap:break-word}
.confusion th[scope=row]{white-space:nowrap;padding-left:0}
.confusion td.right,.confusion td.wrong{padding:8px;text-align:center;font-weight:600;
border:2px solid var(--card)}
.confusion td{--tint:var(--model);background:color-mix(in srgb,var(--tint)
calc(var(--share,0)*38%),var(--paper))}
.confusion td.wrong{--tint:var(--wrong)}
.confusion thead td{background:none}
.confusion small{color:var(--ink)}
.card{border:1px solid var(--rule);border-radius:8px;overflow:hidden;font-size:.86rem;
display:flex;flex-direction:column}
.views{display:flex;gap:2px;background:#000;min-height:160px;align-items:center;
justify-content:safe center;overflow-x:auto}
.wide .views{min-height:184px}
.views>div{flex:0 1 auto;min-width:0}
.views img{max-width:100%;height:auto;display:block;margin:0 auto}
.views small{color:#e6ebf0;text-align:center;padding:2px 0 4px}
.card figcaption{padding:10px 12px}
.card p{margin:0}
.card em{font-style:normal;font-weight:650}.card .differs{color:var(--wrong)}
.card .score{max-width:260px}
.missing{color:#e6ebf0;padding:8px;text-align:center;flex:1 1 90px;min-width:90px;font-size:.75rem}
.fine{font-size:.82rem;color:var(--soft)}
footer{color:var(--soft);font-size:.86rem;padding-bottom:40px}
@media(max-width:560px){main,header,footer,nav{padding-left:12px;padding-right:12px}
section{padding:16px 14px}h1{font-size:1.5rem}
.cards:not(.wide){grid-template-columns:1fr 1fr;gap:10px}
.facts dl>div{grid-template-columns:7.5em 1fr}}
@media print{@page{margin:14mm}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
body{background:#fff;font-size:10.5pt}main,header,footer{max-width:none;padding:0}nav{display:none}
section{border:0;padding:8px 0;margin:6px 0}h2,h3,caption,section>p{break-after:avoid}
figure,tr,.confusion,.tiles>div,.alarm,.note{break-inside:avoid}.scroll{overflow:visible;background:none}
.figures{font-size:8pt}.figures th,.figures td{padding:3px}
.figures thead th,.figures small{font-size:6.5pt}
.tiles{grid-template-columns:repeat(5,1fr);gap:8px}.tiles>div{padding:8px}
.tiles dd{font-size:1.3rem}
.grid{grid-template-columns:repeat(4,1fr);gap:10px 12px}
.grid.wide{grid-template-columns:1fr 1fr}
.grid.matrices,.grid.cards.wide{grid-template-columns:repeat(3,1fr)}}
"""
