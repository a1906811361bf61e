// Search in pages that are opened as files: browsers start no worker from a file, so the theme's search runs in a hidden frame instead. The theme looks for the name IFrameWorker.
class IFrameWorker extends EventTarget {
  constructor(url) {
    super();
    this.frame = document.createElement("iframe");
    this.frame.hidden = true;
    this.ready = new Promise((resolve) => { this.frame.onload = resolve; });
    // What a worker has and a page has not.
    const setup = "postMessage = (data) => parent.postMessage(data, '*');" +
      "importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise((resolve, reject) => {" +
      "const script = document.createElement('script'); script.src = url; script.onload = resolve; script.onerror = reject; document.body.append(script); })), Promise.resolve());";
    this.frame.srcdoc = `<html><body><script>${setup}<\/script><script src="${new URL(url, location.href)}"><\/script></body></html>`;
    document.body.append(this.frame);
    addEventListener("message", (event) => {
      if (event.source !== this.frame.contentWindow) return;
      const message = new MessageEvent("message", { data: event.data });
      this.dispatchEvent(message);
      if (this.onmessage) this.onmessage(message);
    });
  }

  postMessage(data) {
    this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
  }

  terminate() {
    this.frame.remove();
  }
}

if (location.protocol === "file:") {
  window.IFrameWorker = IFrameWorker;
  window.Worker = IFrameWorker;
}
