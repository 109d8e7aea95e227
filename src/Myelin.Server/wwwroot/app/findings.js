// A result as a person reads it: detections, classes, read text; anything else as JSON.

import { h, svg, copyButton } from './dom.js';
import { percent } from './format.js';

/** @returns {{element, overlay?}} overlay: an SVG to lay over the original picture, lit by pointing at a row */
export function findings(result) {
  if (Array.isArray(result?.detections)) return detections(result);
  if (Array.isArray(result?.classes)) return { element: classes(result.classes) };
  if (Array.isArray(result?.regions)) return text(result);
  return { element: h('div', {}) };
}

function detections(result) {
  const list = result.detections;
  if (list.length === 0) return { element: h('p', { class: 'empty' }, 'Nothing found. A lower threshold finds more.') };
  const shapes = list.map((d) => box(d.box));
  const rows = list.map((d, i) => row(shapes[i], [
    h('span', { class: 'name' }, d.label ?? `class ${d.classId}`),
    bar(d.score),
    h('span', { class: 'where' }, `${Math.round(d.box[2])} × ${Math.round(d.box[3])} at ${Math.round(d.box[0])}, ${Math.round(d.box[1])}`),
  ]));
  return {
    element: h('div', {},
      h('h3', {}, `${list.length} ${list.length === 1 ? 'finding' : 'findings'}`, h('small', {}, summary(list))),
      h('ul', { class: 'findings' }, rows)),
    overlay: overlay(result, shapes),
  };
}

function summary(list) {
  const counts = new Map();
  for (const d of list) counts.set(d.label, (counts.get(d.label) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([label, n]) => `${n} × ${label}`).join(', ');
}

function classes(list) {
  return h('div', {}, h('h3', {}, 'It looks like'), h('ul', { class: 'findings classes' }, list.map((c) =>
    h('li', {}, h('span', { class: 'name' }, c.label ?? `class ${c.classId}`), bar(c.score)))));
}

function text(result) {
  const { regions } = result;
  if (regions.length === 0) return { element: h('p', { class: 'empty' }, 'No text found.') };
  const all = result.text ?? regions.map((r) => r.text).join('\n');
  const shapes = regions.map((r) => svg('polygon', { points: r.quad.map((p) => p.join(',')).join(' ') }));
  return {
    element: h('div', {},
      h('h3', {}, 'It reads', copyButton(() => all, 'Copy text')),
      h('pre', { class: 'text', tabindex: '0' }, all),
      h('details', { class: 'lines' },
        h('summary', {}, `${regions.length} ${regions.length === 1 ? 'line' : 'lines'} with scores`),
        h('ul', { class: 'findings' }, regions.map((r, i) => row(shapes[i], [h('span', { class: 'name' }, r.text), bar(r.score)]))))),
    overlay: overlay(result, shapes),
  };
}

function bar(score) {
  const fill = h('i', {});
  fill.style.width = `${Math.min(1, Math.max(0, score)) * 100}%`;
  return h('span', { class: 'score' }, h('span', { class: 'track', 'aria-hidden': 'true' }, fill), h('b', {}, percent(score)));
}

const box = ([x, y, width, height]) => svg('rect', { x, y, width, height, rx: Math.min(width, height) * 0.04 });

const overlay = (result, shapes) => svg('svg', {
  class: 'overlay', viewBox: `0 0 ${result.width} ${result.height}`, 'aria-hidden': 'true', preserveAspectRatio: 'none',
}, ...shapes);

function row(shape, children) {
  const light = (on) => () => shape.classList.toggle('lit', on);
  return h('li', { tabindex: '0', onmouseenter: light(true), onmouseleave: light(false), onfocus: light(true), onblur: light(false) }, children);
}
