/** Sizes, times and counts as people read them; the same words as `units.py`. */

import { TranslationBundle } from '@jupyterlab/translation';

const UNITS = ['KB', 'MB', 'GB', 'TB', 'PB'];

/** How numbers and dates are written; undefined for the browser's own way. */
let locale: string | undefined;

/** Write numbers and dates as is usual in a language, such as `zh_CN`. */
export function writeIn(language: string): void {
  const tag = language.replace('_', '-');
  const [wanted] = tag.split('-');
  // Who reads English may be used to British dates.
  locale = navigator.languages.find(one => one.split('-')[0] === wanted) ?? tag;
}

/** A size such as `48 MB`. Units are binary, as what is typed into the form is read. */
export function size(trans: TranslationBundle, bytes: number): string {
  let number = bytes;
  let unit = 0;
  // 999.5 and not 1024: "1,012 MB" is harder to read than "1 GB".
  while (number >= 999.5 && unit < UNITS.length) {
    number /= 1024;
    unit += 1;
  }
  if (unit === 0) {
    return trans._n('%2 byte', '%2 bytes', bytes, decimal(bytes, 0));
  }
  // What belongs together is not to be torn apart at the end of a line.
  return `${decimal(number, number < 9.95 ? 1 : 0)}\u00a0${UNITS[unit - 1]}`;
}

// What commands a screen or turns the reading direction round; the same as in `printable.py`.
const COMMANDS =
  // eslint-disable-next-line no-control-regex -- they are what is looked for
  /[\x00-\x08\x0a-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\u{e0000}-\u{e007f}]/gu;

/** What strangers wrote, with what commands a screen as visible escapes. */
export function printable(text: string): string {
  return text.replace(COMMANDS, char => {
    const code = char.codePointAt(0)!.toString(16);
    return code.length > 4
      ? `\\U${code.padStart(8, '0')}`
      : code.length > 2
        ? `\\u${code.padStart(4, '0')}`
        : `\\x${code.padStart(2, '0')}`;
  });
}

/** A number with at most so many digits behind the point. */
export function decimal(value: number, digits: number): string {
  return value.toLocaleString(locale, { maximumFractionDigits: digits });
}

export function count(value: number): string {
  return value.toLocaleString(locale);
}

export function files(trans: TranslationBundle, value: number): string {
  return trans._n('%2 file', '%2 files', value, count(value));
}

/** A time such as `20 s`, `2 min` or `1 h 5 min`. */
export function duration(trans: TranslationBundle, seconds: number): string {
  if (seconds < 1) {
    return trans.__('less than a second');
  }
  if (seconds < 89.5) {
    return trans.__('%1 s', Math.round(seconds));
  }
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) {
    return trans.__('%1 min', minutes);
  }
  const hours = Math.floor(minutes / 60);
  return minutes % 60
    ? trans.__('%1 h %2 min', hours, minutes % 60)
    : trans.__('%1 h', hours);
}

/** A date and time, local. */
export function when(iso: string): string {
  return new Date(iso).toLocaleString(locale, {
    dateStyle: 'medium',
    timeStyle: 'short'
  });
}

/** Seconds between two moments; until now without the second. */
export function between(from: string, to: string | null): number {
  return Math.max(
    0,
    ((to ? Date.parse(to) : Date.now()) - Date.parse(from)) / 1000
  );
}
