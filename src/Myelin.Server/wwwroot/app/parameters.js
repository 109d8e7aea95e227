// A form built from a model's contract: one control per parameter, typed and limited as the server says.

import { h } from './dom.js';

/**
 * @param fieldset where the controls go
 * @param onchange called after each change
 * @returns {values(): object of what differs from the defaults, set(name, value), showErrors(fields)}
 */
export function parameterForm(fieldset, parameters, onchange) {
  const prefix = fieldset.id;
  const controls = new Map(parameters.map((parameter) => [parameter.name, control(prefix, parameter, onchange)]));
  fieldset.replaceChildren(...[...controls.values()].map((c) => c.row));
  fieldset.parentElement.hidden = controls.size === 0;
  return {
    values() {
      const values = {};
      for (const [name, c] of controls) {
        const value = c.read();
        if (value !== undefined && value !== c.parameter.default) values[name] = value;
      }
      return values;
    },
    set(name, value) {
      controls.get(name)?.write(value);
      onchange();
    },
    showErrors(fields = {}) {
      for (const [name, c] of controls) c.complain(fields[`parameters.${name}`]);
    },
  };
}

function control(prefix, parameter, onchange) {
  const id = `${prefix}-${parameter.name}`;
  const error = h('p', { class: 'wrong', id: `${id}-error`, hidden: true });
  const hint = h('p', { class: 'hint', id: `${id}-hint` }, parameter.description);
  const made = make(id, parameter, onchange);
  const row = parameter.type === 'boolean'
    ? h('div', { class: 'field' }, h('label', { class: 'check' }, made.element, readable(parameter.name)), hint, error)
    : h('div', { class: 'field' }, h('label', { for: id }, readable(parameter.name), made.output ?? null), made.element, hint, error);
  made.element.setAttribute('aria-describedby', `${id}-hint ${id}-error`);
  return {
    ...made,
    parameter,
    row,
    complain(text) {
      error.textContent = text ?? '';
      error.hidden = !text;
      made.element.toggleAttribute('aria-invalid', Boolean(text));
    },
  };
}

function make(id, parameter, onchange) {
  const { type, choices, minimum, maximum, multipleOf } = parameter;
  if (type === 'boolean') {
    const element = h('input', { type: 'checkbox', id, checked: parameter.default === true, onchange });
    return { element, read: () => element.checked, write: (v) => { element.checked = v; } };
  }
  if (choices) {
    const blank = parameter.default === undefined ? [h('option', { value: '' }, "the model's own")] : [];
    const element = h('select', { id, onchange }, blank, choices.map((c) => h('option', { value: c, selected: c === parameter.default }, c)));
    return { element, read: () => element.value || undefined, write: (v) => { element.value = v; } };
  }
  if (type === 'string') {
    const long = (maximum ?? 0) > 200;
    const element = h(long ? 'textarea' : 'input', { id, rows: long ? '2' : undefined, maxlength: maximum ? String(maximum) : undefined, oninput: onchange });
    element.value = parameter.default ?? '';
    return { element, read: () => element.value || undefined, write: (v) => { element.value = v; } };
  }
  return number(id, parameter, onchange, { minimum, maximum, step: multipleOf ?? (type === 'integer' ? 1 : undefined) });
}

/** A slider where the range is small enough to slide over, otherwise a field; an empty field means the default. */
function number(id, parameter, onchange, { minimum, maximum, step }) {
  const span = maximum - minimum;
  const slides = parameter.default !== undefined && Number.isFinite(span) && span / (step ?? span / 100) <= 300;
  const element = h('input', {
    id,
    type: slides ? 'range' : 'number',
    min: minimum === undefined ? undefined : String(minimum),
    max: maximum === undefined ? undefined : String(maximum),
    step: step ? String(step) : slides ? String(niceStep(span, minimum, parameter.default)) : 'any',
    placeholder: slides ? undefined : parameter.default === undefined ? 'chosen for you' : String(parameter.default),
    inputmode: slides ? undefined : 'numeric',
  });
  const output = slides ? h('output', { for: id }) : undefined;
  const show = () => { if (output) output.textContent = element.value; };
  if (slides) element.value = String(parameter.default);
  element.addEventListener('input', () => { show(); onchange(); });
  show();
  return {
    element,
    output,
    read: () => (element.value === '' ? undefined : Number(element.value)),
    write: (v) => { element.value = String(v); show(); },
  };
}

/** About a hundred to a thousand positions, the default among them: a slider would silently round it otherwise. */
function niceStep(span, minimum, start) {
  let step = 10 ** Math.floor(Math.log10(span / 100));
  const misses = () => Math.abs((start - minimum) / step - Math.round((start - minimum) / step)) > 1e-6;
  for (let finer = 0; finer < 4 && misses(); finer += 1) step /= 10;
  return Number(step.toPrecision(1));
}

/** negativePrompt → Negative prompt */
const readable = (name) => {
  if (name === 'iou') return 'Overlap (IoU)';
  const words = name.replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase();
  return words[0].toUpperCase() + words.slice(1);
};
