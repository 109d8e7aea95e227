// Numbers as people read them.

export function bytes(count) {
  if (count < 1024) return `${count} B`;
  const units = ['kB', 'MB', 'GB'];
  let value = count / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function duration(seconds) {
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
}

export function ago(iso) {
  const seconds = Math.max(0, (Date.now() - Date.parse(iso)) / 1000);
  if (seconds < 5) return 'just now';
  if (seconds < 60) return `${Math.round(seconds)} s ago`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h ago`;
  return new Date(iso).toLocaleDateString();
}

export const percent = (score) => `${(score * 100).toFixed(score >= 0.9995 ? 0 : 1)}%`;

const tasks = {
  'object-detection': 'Find things',
  'instance-segmentation': 'Outline things',
  'semantic-segmentation': 'Divide into areas',
  'image-classification': 'Say what it is',
  'text-recognition': 'Read text',
  'image-to-image': 'Repaint',
  'text-to-image': 'Make pictures from words',
  embedding: 'Compare',
  tensor: 'Raw tensors',
};

export const taskName = (task) => tasks[task] ?? task ?? 'Unknown task';

/** One argument of a POSIX shell. */
export const shellQuote = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
