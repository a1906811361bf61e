// Which stretch of time is shown, and how wheel, pointers and keys change it.
class TimelineView {
  constructor(end, changed) {
    this.end = end;
    this.changed = changed;
    this.begin = 0;
    this.span = end;
    this.left = 0;   // pixels: where the stretch is drawn
    this.width = 1;
  }
  x(time) { return this.left + (time - this.begin) / this.span * this.width; }
  time(x) { return this.begin + (x - this.left) / this.width * this.span; }

  show(begin, span) {
    this.span = Math.max(this.end * 1e-6, 1e-4, Math.min(this.end, span));
    this.begin = Math.max(0, Math.min(this.end - this.span, begin));
    this.changed();
  }
  showAll() { this.show(0, this.end); }
  // Keeps the time at pixel `x` where it is.
  zoom(factor, x = this.left + this.width / 2) {
    const time = this.time(x);
    const span = Math.max(this.end * 1e-6, 1e-4, Math.min(this.end, this.span * factor));
    this.show(time - (x - this.left) / this.width * span, span);
  }
  pan(pixels) { this.show(this.begin - pixels / this.width * this.span, this.span); }
  get whole() { return this.span >= this.end * 0.9999; }
}

// Calls view.zoom() and view.pan() for what is done on `canvas`; `hover(x, y)` for a pointer that only looks.
function watchTimeline(canvas, view, hover, leave) {
  const place = event => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("wheel", event => {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    // All is shown already: the page scrolls on.
    if (view.whole && (sideways || event.deltaY > 0)) return;
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 20 : event.deltaMode === 2 ? 200 : 1;
    if (sideways) view.pan(-event.deltaX * unit); else view.zoom(Math.exp(Math.max(-200, Math.min(200, event.deltaY * unit)) * 0.0022), place(event)[0]);
  }, {passive: false});
  watchPointers(canvas, view, place, hover, leave);
  canvas.addEventListener("dblclick", event => view.zoom(0.25, place(event)[0]));
  canvas.addEventListener("keydown", event => {
    const act = {ArrowLeft: () => view.pan(view.width * 0.15), ArrowRight: () => view.pan(-view.width * 0.15), "+": () => view.zoom(0.6), "=": () => view.zoom(0.6),
      "-": () => view.zoom(1 / 0.6), "0": () => view.showAll(), Home: () => view.show(0, view.span), End: () => view.show(view.end, view.span)}[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
}

// One pointer drags, two pinch.
function watchPointers(canvas, view, place, hover, leave) {
  const down = new Map();
  const spread = () => {
    const [a, b] = [...down.values()];
    return {distance: Math.max(8, Math.abs(a - b)), middle: (a + b) / 2};
  };
  canvas.addEventListener("pointerdown", event => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, place(event)[0]);
    canvas.classList.add("dragged");
  });
  canvas.addEventListener("pointermove", event => {
    const [x, y] = place(event);
    if (!down.has(event.pointerId)) return hover(x, y, event);
    if (down.size === 2) {
      const before = spread();
      down.set(event.pointerId, x);
      const after = spread();
      view.zoom(before.distance / after.distance, after.middle);
    } else {
      const before = down.get(event.pointerId);
      down.set(event.pointerId, x);
      view.pan(x - before);
    }
    leave();
  });
  const up = event => {
    down.delete(event.pointerId);
    if (down.size === 0) canvas.classList.remove("dragged");
  };
  canvas.addEventListener("pointerup", event => { up(event); if (event.pointerType !== "mouse") hover(...place(event), event); });
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", leave);
}
