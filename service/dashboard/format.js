/** Numbers as people read them; a dash for what is no number. */

export const NONE = "–";

function number(value, write) {
  return typeof value === "number" && Number.isFinite(value) ? write(value) : NONE;
}

/** 0.91234 as "91.23 %". */
export function percent(value, digits = 2) {
  return number(value, (x) => `${(100 * x).toFixed(digits)} %`);
}

/** Four significant digits. */
export function short(value) {
  return number(value, (x) => String(Number(x.toPrecision(4))));
}

/** 1234567 as "1.235 M". */
export function count(value) {
  return number(value, (x) => {
    const step = [[1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([size]) => Math.abs(x) >= size);
    return step ? `${short(x / step[0])} ${step[1]}` : short(x);
  });
}

/** Bytes in binary units. */
export function bytes(value) {
  return number(value, (x) => {
    const step = [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]].find(([size]) => x >= size);
    return step ? `${Number((x / step[0]).toPrecision(3))} ${step[1]}` : `${x} B`;
  });
}

/** 95 as "1 min 35 s". */
export function duration(seconds) {
  return number(seconds, (x) => {
    const total = Math.max(0, Math.round(x));
    const [hours, minutes, rest] = [Math.floor(total / 3600), Math.floor((total % 3600) / 60), total % 60];
    if (hours) return `${hours} h ${minutes} min`;
    return minutes ? `${minutes} min ${rest} s` : `${rest} s`;
  });
}
