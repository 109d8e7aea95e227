// The Jobs section: the list, and one job by its address (#job/ID).

import * as api from './api.js';
import { byId, errorBox, h } from './dom.js';
import { ago, duration } from './format.js';
import { JobView } from './jobview.js';

let view;
let cursor;
let refreshing;

export function start() {
  view = new JobView(byId('job-stage'), h('p', {}));
  byId('jobs-more').addEventListener('click', more);
}

export async function showList() {
  clearTimeout(refreshing);
  try {
    const page = await api.jobs();
    cursor = page.nextCursor;
    byId('jobs-list').replaceChildren(table(page.data));
    byId('jobs-more').hidden = !cursor;
    // The list moves while anything in it does, and only while somebody looks at it.
    if (page.data.some((j) => !api.isEnd(j))) {
      refreshing = setTimeout(() => !byId('view-jobs').hidden && !document.hidden && showList(), 2000);
    }
  } catch (error) {
    byId('jobs-list').replaceChildren(errorBox(error));
  }
}

async function more() {
  const page = await api.jobs({ cursor });
  cursor = page.nextCursor;
  byId('jobs-list').querySelector('tbody').append(...page.data.map(row));
  byId('jobs-more').hidden = !cursor;
}

export async function showOne(id) {
  byId('job-title').textContent = `Job ${id}`;
  try {
    await view.show(await api.job(id));
  } catch (error) {
    view.fail(error);
  }
}

function table(jobs) {
  if (jobs.length === 0) return h('p', { class: 'empty' }, 'Nothing yet. Drop a picture under Pictures.');
  return h('div', { class: 'scroll panel' }, h('table', {},
    h('thead', {}, h('tr', {}, ['Job', 'Model', 'State', 'Submitted', 'Took', ''].map((t) => h('th', { scope: 'col' }, t)))),
    h('tbody', {}, jobs.map(row))));
}

function row(job) {
  const took = job.startedAt && job.endedAt ? duration((Date.parse(job.endedAt) - Date.parse(job.startedAt)) / 1000) : '';
  const cancel = api.isEnd(job) ? null : h('button', {
    type: 'button', class: 'quiet', 'aria-label': `Cancel job ${job.id}`, onclick: async () => { await api.cancel(job.id).catch(() => {}); showList(); },
  }, 'Cancel');
  return h('tr', {},
    h('td', {}, h('a', { href: `#job/${job.id}` }, h('code', {}, job.id.slice(-8)))),
    h('td', {}, job.model),
    h('td', {}, h('span', { class: 'chip', 'data-state': job.state, title: job.error?.detail ?? '' }, job.state)),
    h('td', { title: job.createdAt }, ago(job.createdAt)),
    h('td', {}, took),
    h('td', {}, cancel));
}
