// All six calls through Segment's client: node send.cjs <address> <write key>.
const { Analytics } = require("@segment/analytics-node");

const [, , host, writeKey] = process.argv;
const analytics = new Analytics({ host, writeKey, maxRetries: 0 });
const failures = [];
analytics.on("error", (error) => failures.push(error));

const userId = "7";
analytics.identify({ userId, traits: { city: "Lyon" } });
analytics.track({ userId, event: "Product Viewed", properties: { product_id: "p1" } });
analytics.page({ userId, name: "Home", category: "Shop", properties: { url: "https://shop.example/" } });
analytics.screen({ userId, name: "Start" });
analytics.group({ userId, groupId: "family", traits: { size: 4 } });
analytics.alias({ userId, previousId: "device" });

analytics.closeAndFlush({ timeout: 20000 }).then(() => {
  if (failures.length) {
    console.error(failures);
    process.exit(1);
  }
});
