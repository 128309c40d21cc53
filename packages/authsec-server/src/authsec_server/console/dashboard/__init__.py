"""The dashboard: current activity, alerts, and a picture of the delegated authority.

| module | owns |
|---|---|
| `pages` | which figures and charts the dashboard shows, and for how many hours or days |
| `alerts` | what needs attention |
| `graph` | the picture: who gave what to whom |

`console.charts` draws a chart from numbers.
"""
