// One Plotly chart, mounted once, redrawn in place whenever data, theme or width change.

const NARROW = 560 // pixels; below, every margin counts

// Plotly's own camera leaves the ground transparent: on a white slide, a chart made for the night could not be read. And
// a picture has none of the page's fonts: texts are measured in the one that they will be drawn in, or they are cut.
const CAMERA = {
  name: "Save as PNG",
  icon: { width: 24, height: 24, path: "M9 3 7.2 5H4a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h16a2 2 0 0 0 2-2V7a2 2 0 0 0-2-2h-3.2L15 3zm3 15a5 5 0 1 1 0-10 5 5 0 0 1 0 10z" },
  click: (chart) =>
    window.Plotly.downloadImage(
      { data: chart.data, layout: { ...chart.layout, paper_bgcolor: themeOf(chart).paper, font: { family: "sans-serif" } } },
      {
        format: "png", scale: 2, width: chart.clientWidth, height: chart.clientHeight,
        filename: document.title.split(" · ")[0].toLowerCase(), // the page's name
      },
    ),
}

// Never changes: for a new config Plotly starts the chart over, zoom and all.
const CONFIG = {
  displaylogo: false,
  displayModeBar: "hover",
  modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", CAMERA]],
  scrollZoom: false, // the wheel scrolls the page
  doubleClick: "reset",
}

let library // one for all charts and for the life of the browser tab

function loadPlotly(address) {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = new URL(address, document.baseURI)
    script.onload = () => resolve(window.Plotly)
    script.onerror = () => {
      library = undefined // so that the next update tries again
      script.remove()
      reject(new Error("The chart library could not be loaded. Reload the page to try again."))
    }
    document.head.append(script)
  })
  return library
}

function themeOf(element) {
  const style = getComputedStyle(element)
  const value = (name) => style.getPropertyValue(`--st-${name}`).trim()
  return {
    text: value("text-color"),
    paper: value("background-color"),
    line: value("border-color"),
    font: value("font"),
    size: parseFloat(style.fontSize) || 16,
    series: value("chart-categorical-colors").split(","),
  }
}

// Figures name chart colours as Streamlit's own charts do: #000001 is the theme's first, #000010 its tenth, #000038 the
// page's background.
function painted(figure, { series, paper }) {
  const json = JSON.stringify(figure)
    .replace(/"#0000(0[1-9]|10)"/g, (_, n) => `"${series[(n - 1) % series.length]}"`)
    .replaceAll('"#000038"', `"${paper}"`)
  return JSON.parse(json) // a copy, too: Plotly writes into what it is given
}

// Goes in as a template, so whatever the figure says itself wins.
function template({ text, paper, line, font, size, series }, narrow) {
  const small = Math.round(size * (narrow ? 0.72 : 0.82))
  const axis = {
    gridcolor: line, griddash: "dot", gridwidth: 1, linecolor: line, zeroline: false, automargin: true,
    tickfont: { size: small }, title: { font: { size: small }, standoff: narrow ? 6 : 12 },
    nticks: narrow ? 6 : 10,
  }
  return {
    layout: {
      colorway: series,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: font, color: text, size: small },
      margin: narrow ? { l: 8, r: 16, t: 8, b: 8 } : { l: 16, r: 16, t: 16, b: 16 },
      xaxis: { ...axis, showgrid: false, showline: true, ticks: "outside", tickcolor: line },
      yaxis: axis,
      legend: {
        orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", // above the plot: it never hides a curve
        font: { size: Math.round(small * 1.05) }, bgcolor: "rgba(0,0,0,0)", itemwidth: 30,
      },
      hovermode: "x unified",
      hoverlabel: { bgcolor: paper, bordercolor: line, font: { family: font, color: text, size: small } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: series.at(-1), activecolor: text },
      shapedefaults: { line: { color: text, width: 2, dash: "dot" } },
      annotationdefaults: { font: { size: small, color: text }, showarrow: false },
    },
    data: { scatter: [{ line: { width: narrow ? 2.5 : 3.5 } }] },
  }
}

function draw(chart) {
  const { figure, height } = chart.latest
  const theme = themeOf(chart)
  const width = chart.clientWidth
  if (!width) return // in a closed expander or a hidden tab; the observer calls again when it opens
  const { data, layout = {} } = painted(figure, theme)
  chart.drawn = window.Plotly.react(
    chart,
    data,
    { uirevision: "kept", ...layout, width, height, template: template(theme, width < NARROW) },
    CONFIG,
  )
}

export default async function ({ data, parentElement }) {
  if (!data.figure) return void loadPlotly(data.plotly) // a page that will need a chart soon
  const chart = parentElement.querySelector(".live-chart")
  chart.latest = data
  chart.style.height = `${data.height}px` // the room is taken before anything is drawn, so nothing below it jumps
  chart.setAttribute("aria-label", data.alt)
  await loadPlotly(data.plotly)
  if (chart.isConnected) {
    if (!chart.observer) {
      chart.observer = new ResizeObserver(() => requestAnimationFrame(() => chart.isConnected && draw(chart)))
      chart.observer.observe(chart)
    }
    draw(chart)
  }
  return () => {
    // Also called for an update that a later one has overtaken; then the chart is still there and stays.
    if (chart.isConnected || !chart.observer) return
    chart.observer.disconnect()
    chart.observer = undefined
    chart.drawn?.then(() => window.Plotly.purge(chart)) // not before the last drawing is done: it would trip over it
  }
}
