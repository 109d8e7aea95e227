// Choosing a model: grouped by what it does, the last choice remembered.

import { h } from './dom.js';
import { taskName } from './format.js';

/** Fills a select; returns the chosen model or undefined. */
export function fillModels(select, models, rememberAs) {
  const usable = models.filter((m) => m.state !== 'broken');
  const groups = Map.groupBy(usable, (m) => m.task);
  const before = select.value || localStorage.getItem(rememberAs);
  select.replaceChildren(...[...groups].sort(([a], [b]) => order(a) - order(b)).map(([task, members]) =>
    h('optgroup', { label: taskName(task) }, members.map((m) => h('option', { value: m.name }, m.name)))));
  if (usable.some((m) => m.name === before)) select.value = before;
  if (usable.length === 0) select.replaceChildren(h('option', { value: '' }, 'No model yet'));
  select.disabled = usable.length === 0;
  return models.find((m) => m.name === select.value);
}

const first = ['object-detection', 'text-recognition', 'image-classification', 'image-to-image'];
const order = (task) => (first.includes(task) ? first.indexOf(task) : first.length);

/** What is wrong with the models that cannot be used; null when all can. */
export function brokenModels(models) {
  const broken = models.filter((m) => m.state === 'broken');
  if (broken.length === 0) return null;
  return h('details', { class: 'notice broken' },
    h('summary', {}, `${broken.length} ${broken.length === 1 ? 'model' : 'models'} cannot be used`),
    h('ul', {}, broken.map((m) => h('li', {}, h('b', {}, m.name), errorList(m)))));
}

export const errorList = (model) => h('ul', {}, (model.errors ?? []).map((e) =>
  h('li', {}, h('code', {}, e.key ? `${e.file}: ${e.key}` : e.file), ' ', e.message, e.log && h('pre', {}, e.log))));
