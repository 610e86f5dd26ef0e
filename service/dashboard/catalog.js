/** The views of what jobs left behind: devices with their predictors, and supernets. */

import { getAll } from "./api.js";
import { empty, h, moment, table } from "./dom.js";
import { percent, short } from "./format.js";

const POLL_MS = 10_000;
const DEVICE_COLUMNS = [
  ["Device", "id"], ["Runtime", ""], ["Hardware", ""], ["Threads", "number"], ["Precision", ""],
  ["Batch", "number"], ["Fingerprint", "id"],
];
const PREDICTOR_COLUMNS = [
  ["Device", "id"], ["Supernet", "id"], ["Samples", "number"], ["Spearman", "number"], ["Kendall τ", "number"],
  ["MAPE", "number"], ["Within 10 %", "number"], ["90 % coverage", "number"], ["Fitted", ""],
];
const SUPERNET_COLUMNS = [
  ["Supernet", "id"], ["Space", ""], ["Data", ""], ["Images", ""], ["Classes", "number"],
  ["Largest, top-1", "number"], ["Smallest, top-1", "number"], ["Trained", ""],
];

export function showDevices(main, context) {
  const draw = changes(main, ({ devices, predictors }) => {
    const command = "nas profile --device here";
    if (!devices.length) return [h("h1", {}, "Devices"), empty("No device yet. Measure this machine:", command)];
    const quality = predictors.length
      ? table("Latency predictors", PREDICTOR_COLUMNS, predictors.map(predictorCells))
      : empty("No latency predictor yet. Fit one:", command);
    return [
      h("h1", {}, "Devices"),
      table("Devices", DEVICE_COLUMNS, devices.map(deviceCells)),
      h("h2", {}, "Latency predictors"),
      h("p.note", {}, "Quality on subnets that were held out of the fit."),
      quality,
    ];
  });
  context.poll(async () => {
    const { signal } = context;
    const lists = ["/devices", "/predictors"].map((path) => getAll(path, {}, { signal }));
    const [devices, predictors] = await Promise.all(lists);
    if (!signal.aborted) draw({ devices, predictors });
  }, POLL_MS);
}

export function showSupernets(main, context) {
  const draw = changes(main, (supernets) => [
    h("h1", {}, "Supernets"),
    supernets.length
      ? table("Supernets", SUPERNET_COLUMNS, supernets.map(supernetCells))
      : empty("No supernet yet. Train one on small real images, in a few minutes:", "nas train --data digits"),
  ]);
  context.poll(async () => {
    const { signal } = context;
    const supernets = await getAll("/supernets", {}, { signal });
    if (!signal.aborted) draw(supernets);
  }, POLL_MS);
}

/** A function that draws data when they differ from those before. */
function changes(main, draw) {
  let seen = "";
  return (data) => {
    const now = JSON.stringify(data);
    if (now === seen) return;
    seen = now;
    main.replaceChildren(...draw(data));
  };
}

function deviceCells(device) {
  return [
    device.name, `${device.runtime} ${device.runtime_version}`, device.hardware, String(device.threads),
    device.precision, String(device.batch_size), device.fingerprint,
  ];
}

function predictorCells(predictor) {
  const { quality } = predictor;
  return [
    predictor.device, predictor.supernet, String(predictor.n_samples),
    short(quality.spearman), short(quality.kendall_tau), percent(quality.mape, 1),
    percent(quality.within_10, 1), percent(quality.coverage_90, 1), moment(predictor.created_at),
  ];
}

function supernetCells(supernet) {
  const { metrics, resolution, in_channels: channels } = supernet;
  return [
    supernet.name, supernet.space, supernet.data,
    `${channels} × ${resolution} × ${resolution}`, String(supernet.n_classes),
    percent(metrics.top1_largest), percent(metrics.top1_smallest), moment(supernet.created_at),
  ];
}
