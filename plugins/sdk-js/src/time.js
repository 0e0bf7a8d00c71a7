// The times messages carry: UTC, `YYYYMMDDThhmmss.fraction`.

export function parseTime(text) {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(?:\.(\d*))?$/.exec(text);
  if (match === null) throw new RangeError(`${text} is no time such as 20261122T093000.5`);
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number);
  const millis = Number(((match[7] ?? "") + "000").slice(0, 3));
  return new Date(Date.UTC(year, month - 1, day, hour, minute, second, millis));
}

export function formatTime(date) {
  return date.toISOString().replace(/[-:]/g, "").replace("Z", "");
}
