/** Waiting for what may not come. */

/**
 * @param {number} ms
 * @returns {Promise<void>}
 */
export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** @returns {{promise: Promise, resolve: function, reject: function}} `Promise.withResolvers` of newer browsers */
export function promiseWithResolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

/**
 * @param {Promise} promise
 * @param {number} patienceMs
 * @returns {Promise<boolean>} whether it was fulfilled in time
 */
export async function comes(promise, patienceMs) {
  const kept = promise.then(
    () => true,
    () => false,
  );
  return Promise.race([kept, pause(patienceMs).then(() => false)]);
}
