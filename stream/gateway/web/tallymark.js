// Views and watched time of a page, sent to the gateway that serves this script; docs/browsers.md says how to use it.
// Served without comments and without spaces that only people need (stream/gateway/script.py): no text in here may hold
// a space, and no two signs stand side by side that are another sign without one.
(script => {
  const data = script.dataset
  const url = new URL("/v1/events?key=" + encodeURIComponent(data.key || ""), script.src)
  const beatMs = 1e3 * (data.beat || 10)
  let waiting = [] // events that nobody has answered for, oldest first
  let busy, timer, failures = 0
  let shown // the view: its id and video, and how many beats it has had
  let since, watched = 0 // ms; since: while somebody watches, from when, by a clock that nobody sets

  // crypto.randomUUID is not there on insecure origins
  const newId = () => crypto.getRandomValues(new Uint32Array(4)).join("-")

  const body = events => JSON.stringify({sent_at: Date.now(), events})

  // as text/plain, which needs no preflight; one post at a time
  const flush = () => {
    if (busy || timer || !waiting.length) return
    const batch = waiting.slice(0, 100)
    busy = fetch(url, {method: "POST", body: body(batch), keepalive: true}).then(answer => {
      if (answer.status == 429 || answer.status > 499) throw answer
      waiting = waiting.filter(event => !batch.includes(event))
      failures = 0
    }).catch(() => {
      timer = setTimeout(back, 500 + Math.random() * Math.min(6e4, 1e3 * 2 ** failures++))
    }).then(() => {
      busy = 0
      flush()
    })
  }

  const send = (type, video_id, value, event_id = newId()) => {
    waiting = [...waiting.slice(-499), {event_id, type, video_id, value, occurred_at: Date.now(), user_id: data.user}]
    flush()
    return event_id
  }

  // adds what was watched until now, and notes whether somebody watches from now on
  const look = () => {
    const now = performance.now()
    const media = document.querySelector(data.media || "html")
    if (since) watched += Math.min(now - since, 2 * beatMs) // a machine may have slept
    since = shown && !document.hidden && media && !media.paused && !media.ended && !(media.readyState < 3) && now
  }
  const beat = () => {
    look()
    const value = Math.floor(watched)
    if (!value) return
    watched -= value
    shown.beats += 1
    send("watched_time", shown.video, value, shown.id + "." + shown.beats)
  }
  // a tab that is hidden may never be seen again: what has no answer yet goes once more, by a way that outlives the page
  const hide = () => {
    beat()
    if (waiting.length) navigator.sendBeacon(url, body(waiting.slice(-200)))
  }
  const back = () => {
    look()
    timer = clearTimeout(timer)
    flush()
  }

  const view = (video, type = data.type || "view") => {
    beat()
    shown = {video, id: send(type, video), beats: 0}
    look()
    return shown.id
  }

  setInterval(beat, beatMs)
  // on their way down, since those of media do not bubble
  const on = (names, then) => names.split(",").map(name => addEventListener(name, then, true))
  on("playing,pause,waiting,ended", look)
  on("visibilitychange", () => document.hidden ? hide() : back())
  on("pagehide", hide)
  on("pageshow,online", back)
  window.tallymark = {view, send}
  const start = () => data.video && view(data.video)
  document.prerendering ? on("prerenderingchange", start) : start()
})(document.currentScript)
