// One job on the stage: where it stands, what it shows while it runs, what it found. Follows it live.

import * as api from './api.js';
import { announce, copyButton, errorBox, h } from './dom.js';
import { findings } from './findings.js';
import { duration } from './format.js';

const words = {
  sending: 'Sending', queued: 'Queued', running: 'Running', succeeded: 'Done', failed: 'Failed', cancelled: 'Cancelled', expired: 'Expired',
};

export class JobView {
  #stage;
  #urls = [];
  #previewShown;
  #fetching = false;
  #following;
  #original;
  #job;

  /** @param empty an element that fills the stage while there is no job */
  constructor(stage, empty) {
    this.#stage = stage;
    stage.replaceChildren(empty);
  }

  /** Shows a picture that has been chosen but not sent. */
  preview(url) {
    this.#reset();
    this.#original = url;
    this.#stage.replaceChildren(h('div', { class: 'panel waiting' }, h('img', { src: url, alt: 'The chosen picture' })));
  }

  fail(error) {
    this.#reset();
    this.#stage.replaceChildren(errorBox(error), this.#original ? h('div', { class: 'panel waiting' }, h('img', { src: this.#original, alt: 'The chosen picture' })) : '');
  }

  /** Submits and follows; resolves with the ended job, or null when another run took the stage. */
  async run(form, original) {
    const following = this.#begin(original);
    this.#frame();
    this.#state('sending');
    try {
      const job = await api.submit(form, (sent) => this.#is(following) && this.#bar(sent < 1 ? sent : undefined, 'Sending'));
      return await this.#follow(job, following);
    } catch (error) {
      if (!this.#is(following)) return null;
      this.fail(error);
      throw error;
    }
  }

  /** Follows a job that exists already. */
  async show(job, original) {
    const following = this.#begin(original);
    this.#frame();
    try {
      return await this.#follow(job, following);
    } catch (error) {
      if (!this.#is(following)) return null;
      this.fail(error);
      throw error;
    }
  }

  /** Stops following; the job itself goes on. */
  leave() {
    this.#following?.abort();
    this.#following = undefined;
  }

  async #follow(job, following) {
    this.#change(job);
    if (!api.isEnd(job)) {
      for await (const event of api.events(job.id, following.signal)) {
        if (!this.#is(following)) return null;
        this.#change(event.job);
      }
    }
    const ended = await api.job(job.id);
    if (!this.#is(following)) return null;
    await this.#finish(ended, following);
    return ended;
  }

  #begin(original) {
    this.#reset();
    this.#original = original;
    this.#following = new AbortController();
    return this.#following;
  }

  #is(following) {
    return this.#following === following;
  }

  #reset() {
    this.leave();
    this.#urls.forEach((url) => URL.revokeObjectURL(url));
    this.#urls = [];
    this.#previewShown = undefined;
    this.#job = undefined;
  }

  #frame() {
    this.chip = h('b', { class: 'chip' });
    this.detail = h('span', { class: 'detail' });
    this.cancelButton = h('button', { type: 'button', class: 'cancel', hidden: true, onclick: () => this.#cancel() }, 'Cancel');
    this.progress = h('progress', { max: 1, 'aria-label': 'Progress' });
    this.pictures = h('div', { class: 'pictures' });
    this.answer = h('div', { class: 'answer' });
    if (this.#original) this.pictures.append(this.#originalFigure());
    this.#stage.replaceChildren(h('div', { class: 'panel run' },
      h('div', { class: 'run-head' }, this.chip, this.detail, this.cancelButton), this.progress, this.pictures, this.answer));
  }

  #originalFigure() {
    this.original = h('div', { class: 'picture' }, h('img', { src: this.#original, alt: 'Original picture' }));
    return h('figure', {}, this.original, h('figcaption', {}, 'Original'));
  }

  #state(state) {
    if (this.chip.dataset.state !== state) announce(words[state]);
    this.chip.dataset.state = state;
    this.chip.textContent = words[state];
  }

  #bar(fraction, text) {
    if (fraction === undefined) this.progress.removeAttribute('value');
    else this.progress.value = fraction;
    if (text !== undefined) this.detail.textContent = text;
  }

  #change(job) {
    this.#job = job;
    this.#state(job.state);
    this.cancelButton.hidden = api.isEnd(job);
    if (job.state === 'queued') {
      const eta = job.etaSeconds === undefined ? '' : `, starts in about ${duration(job.etaSeconds)}`;
      this.#bar(undefined, job.position === undefined ? '' : `${job.position === 0 ? 'next in line' : `${job.position} before it`}${eta}`);
    } else if (job.state === 'running') {
      const p = job.progress;
      const left = p?.secondsPerStep === undefined ? '' : `, ${duration(p.secondsPerStep * (p.steps - p.step))} left`;
      this.#bar(p?.fraction, p && p.steps > 1 ? `step ${p.step} of ${p.steps}${left}` : '');
      if (p?.preview) this.#showPreview(p.preview);
    }
  }

  // One at a time, the newest wins: a preview that is already replaced, or gone with the job's end, is no loss.
  async #showPreview(path) {
    if (this.#fetching || path === this.#previewShown) return;
    this.#previewShown = path;
    this.#fetching = true;
    try {
      const url = await this.#blob(path);
      if (this.#job?.state !== 'running') return;
      this.live ??= h('img', { alt: 'The picture so far' });
      this.live.src = url;
      if (!this.live.isConnected) this.pictures.append(h('figure', { class: 'live' }, h('div', { class: 'picture' }, this.live), h('figcaption', {}, 'So far')));
    } catch { /* see above */ } finally {
      this.#fetching = false;
    }
  }

  async #blob(path) {
    const url = await api.blobUrl(path);
    this.#urls.push(url);
    return url;
  }

  async #cancel() {
    this.cancelButton.disabled = true;
    this.cancelButton.textContent = 'Cancelling…';
    try {
      await api.cancel(this.#job.id);
    } catch (error) {
      // 409: it ended first; the end is on its way.
      if (error.status !== 409) this.answer.replaceChildren(errorBox(error));
    }
  }

  async #finish(job, following) {
    this.#change(job);
    this.progress.hidden = true;
    const took = job.startedAt && job.endedAt ? `in ${duration((Date.parse(job.endedAt) - Date.parse(job.startedAt)) / 1000)}` : '';
    this.detail.textContent = job.state === 'succeeded' ? `${job.model}, ${took}` : job.model;
    this.live?.closest('figure')?.remove();
    this.live = undefined;
    const result = findings(job.result);
    const failure = job.error ? errorBox({ title: job.error.title, message: job.error.detail ?? '', fields: job.error.errors }) : null;
    this.answer.replaceChildren(...[failure, result.element, raw(job)].filter(Boolean));
    if (!this.#original) await this.#fetchOriginal(job, following);
    if (result.overlay) this.original?.append(result.overlay);
    await this.#fetchResults(job, following);
  }

  async #fetchOriginal(job, following) {
    const input = job.inputs.find((i) => i.contentType.startsWith('image/') && i.url);
    if (!input) return;
    try {
      const url = await this.#blob(input.url);
      if (!this.#is(following)) return;
      this.#original = url;
      this.pictures.prepend(this.#originalFigure());
    } catch { /* Retention has removed it; the findings stay. */ }
  }

  async #fetchResults(job, following) {
    for (const artifact of job.artifacts.filter((a) => a.contentType.startsWith('image/') && a.url)) {
      try {
        const url = await this.#blob(artifact.url);
        if (!this.#is(following)) return;
        const caption = artifact.name.startsWith('annotated') ? 'What the model sees' : 'Result';
        this.pictures.append(h('figure', {}, h('div', { class: 'picture' }, h('img', { src: url, alt: caption })),
          h('figcaption', {}, caption, h('a', { href: url, download: artifact.name }, 'Download'))));
      } catch (error) {
        this.pictures.append(errorBox(error));
      }
    }
  }
}

function raw(job) {
  const text = JSON.stringify(job, null, 2);
  return h('details', { class: 'raw' }, h('summary', {}, 'JSON'),
    h('div', { class: 'code' }, h('pre', { tabindex: '0' }, text), copyButton(() => text)));
}
