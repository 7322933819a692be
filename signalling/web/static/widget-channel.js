/**
 * The request and response layer of Matrix's widget API (MSC1236): JSON over postMessage, between a page in a frame
 * (the widget) and the Matrix client around it (the host). Either side asks, the other answers.
 */

/**
 * How long the host may take for one request. Shorter: a slow homeserver behind it counts as a host that is gone.
 * Longer: a message that got lost is repeated late.
 */
const ANSWER_TIMEOUT_MS = 30_000;

/** What went wrong between the widget and its host. The message is for people. */
export class WidgetError extends Error {
  /**
   * @param {string} message
   * @param {{status: number, errcode: string, retryAfterMs: number}|null} [homeserver] where a homeserver said no:
   *   its status, error code and for how long to wait (0: it did not say)
   */
  constructor(message, homeserver = null) {
    super(message);
    this.name = "WidgetError";
    this.homeserver = homeserver;
  }
}

/**
 * One widget's side of the conversation. Listens from construction on: a host asks as soon as the frame has loaded, and
 * does not ask twice.
 */
export class WidgetChannel {
  #widgetId;
  #hostOrigin;
  #own;
  #host;
  #handlers = new Map();
  #pending = new Map();
  #session = Math.random().toString(36).slice(2);
  #count = 0;

  /**
   * @param {object} options
   * @param {string} options.widgetId the widget's id, as the host gave it
   * @param {string} options.hostOrigin the only origin that is listened and spoken to
   * @param {Window} [options.own] the widget's window; the host is its parent
   */
  constructor({ widgetId, hostOrigin, own = window }) {
    this.#widgetId = widgetId;
    this.#hostOrigin = hostOrigin;
    this.#own = own;
    this.#host = own.parent;
    own.addEventListener("message", this.#receive);
  }

  /**
   * Answer one kind of request of the host. What no handler answers is refused.
   *
   * @param {string} action
   * @param {function(object): object|void} handler gets the request's data, returns the response's
   */
  handle(action, handler) {
    this.#handlers.set(action, handler);
  }

  /**
   * Ask the host. The message is posted before this returns, so that it still goes out while the page unloads.
   *
   * @param {string} action
   * @param {object} data
   * @returns {Promise<object>} the response
   * @throws {WidgetError} the host refused, or did not answer in time
   */
  request(action, data) {
    const requestId = `${this.#session}-${this.#count++}`;
    const answer = new Promise((resolve, reject) => {
      const settle = (done, value) => {
        clearTimeout(timer);
        this.#pending.delete(requestId);
        done(value);
      };
      const late = () => settle(reject, new WidgetError(`the Matrix client did not answer: ${action}`));
      const timer = setTimeout(late, ANSWER_TIMEOUT_MS);
      this.#pending.set(requestId, {
        resolve: (response) => settle(resolve, response),
        reject: (error) => settle(reject, error),
      });
    });
    this.#post({ api: "fromWidget", widgetId: this.#widgetId, requestId, action, data });
    return answer;
  }

  /** Stop listening; what still waits for an answer is told so. */
  close() {
    this.#own.removeEventListener("message", this.#receive);
    for (const { reject } of [...this.#pending.values()]) reject(new WidgetError("the widget has stopped"));
  }

  #post(message) {
    this.#host.postMessage(message, this.#hostOrigin);
  }

  #receive = (event) => {
    if (event.source !== this.#host || event.origin !== this.#hostOrigin) return;
    const message = event.data;
    if (!isObject(message) || message.widgetId !== this.#widgetId) return;
    if (message.api === "fromWidget" && isObject(message.response)) this.#settle(message);
    else if (message.api === "toWidget" && message.response === undefined) this.#answer(message);
  };

  #settle({ requestId, response }) {
    const pending = this.#pending.get(requestId);
    if (!pending) return;
    if (typeof response.error?.message === "string") pending.reject(refusal(response.error));
    else pending.resolve(response);
  }

  async #answer(request) {
    const handler = this.#handlers.get(request.action);
    let response;
    try {
      if (!handler) throw new WidgetError(`unknown action: ${request.action}`);
      response = (await handler(isObject(request.data) ? request.data : {})) ?? {};
    } catch (error) {
      response = { error: { message: error.message } };
    }
    this.#post({ ...request, response });
  }
}

/**
 * Whether a value that came from elsewhere is a JSON object.
 *
 * @param {unknown} value
 * @returns {boolean}
 */
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/* MSC2762 has a message only; newer hosts add what the homeserver answered them. */
function refusal({ message, matrix_api_error: refused }) {
  if (!isObject(refused) || typeof refused.http_status !== "number") return new WidgetError(message);
  const { errcode, error, retry_after_ms: retryAfterMs } = isObject(refused.response) ? refused.response : {};
  return new WidgetError(typeof error === "string" ? error : message, {
    status: refused.http_status,
    errcode: typeof errcode === "string" ? errcode : "M_UNKNOWN",
    retryAfterMs: typeof retryAfterMs === "number" ? retryAfterMs : 0,
  });
}
