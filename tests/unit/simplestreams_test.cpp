#include "daemon/catalogue/simplestreams.hpp"

#include "lib/json.hpp"
#include "tests/unit/catalogue_sources.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace capsul {
namespace {

using test::hex;

const std::vector<Architecture> intel{Architecture::x86_64};

// As Ubuntu's has it, with one of the other kinds of lists.
const char* const ubuntu_index = R"({
 "format": "index:1.0",
 "index": {
  "com.ubuntu.cloud:released:aws": {
   "clouds": [{"endpoint": "https://ec2.eu-central-1.amazonaws.com", "region": "eu-central-1"}],
   "cloudname": "aws", "datatype": "image-ids", "format": "products:1.0",
   "path": "streams/v1/com.ubuntu.cloud:released:aws.sjson",
   "products": ["com.ubuntu.cloud:server:24.04:amd64"], "updated": "Tue, 20 Oct 2026 10:16:54 +0000"
  },
  "com.ubuntu.cloud:released:download": {
   "datatype": "image-downloads", "format": "products:1.0",
   "path": "streams/v1/com.ubuntu.cloud:released:download.sjson",
   "products": ["com.ubuntu.cloud:server:24.04:amd64"], "updated": "Tue, 20 Oct 2026 10:16:54 +0000"
  }
 },
 "updated": "Tue, 20 Oct 2026 10:16:54 +0000"
})";

std::string ubuntu_item(const std::string& day, char digit) {
    return fmt::format(R"("{0}": {{"items": {{
      "disk1.img": {{"ftype": "disk1.img", "md5": "0", "path": "server/releases/noble/release-{0}/ubuntu-24.04-server-cloudimg-amd64.img", "sha256": "{1}", "size": 629145600}},
      "manifest": {{"ftype": "manifest", "path": "server/releases/noble/release-{0}/x.manifest", "sha256": "{1}", "size": 9}},
      "root.tar.xz": {{"ftype": "root.tar.xz", "path": "server/releases/noble/release-{0}/x.tar.xz", "sha256": "{1}", "size": 9}}
     }}, "label": "release", "pubname": "ubuntu-noble-24.04-amd64-server-{0}"}})",
                       day, hex(64, digit));
}

std::string ubuntu_products() {
    return fmt::format(R"({{
 "content_id": "com.ubuntu.cloud:released:download", "datatype": "image-downloads", "format": "products:1.0",
 "license": "http://www.canonical.com/intellectual-property-policy",
 "products": {{
  "com.ubuntu.cloud:server:12.04:amd64": {{"aliases": "12.04,precise", "arch": "amd64", "os": "ubuntu",
   "release": "precise", "release_title": "12.04 LTS", "supported": false, "version": "12.04",
   "versions": {{{0}}}}},
  "com.ubuntu.cloud:server:24.04:amd64": {{"aliases": "24.04,default,lts,n,noble", "arch": "amd64", "os": "ubuntu",
   "release": "noble", "release_codename": "Noble Numbat", "release_title": "24.04 LTS",
   "support_eol": "2029-05-31", "supported": true, "version": "24.04",
   "versions": {{{1}, {2}, {3}}}}},
  "com.ubuntu.cloud:server:24.04:arm64": {{"arch": "arm64", "os": "ubuntu", "release": "noble",
   "release_title": "24.04 LTS", "supported": true, "version": "24.04", "versions": {{{0}}}}}
 }},
 "updated": "Tue, 20 Oct 2026 10:16:54 +0000"
}})",
                       ubuntu_item("20260101", '0'), ubuntu_item("20260926", '2'),
                       ubuntu_item("20261018", '3'), ubuntu_item("20260101", '1'));
}

// As the Linux Containers' server has it: most products are for containers only.
std::string lxc_products() {
    return fmt::format(
        R"({{"content_id": "images", "datatype": "image-downloads", "format": "products:1.0", "products": {{
 "alpine:edge:amd64:cloud": {{"aliases": "alpine/edge/cloud", "arch": "amd64", "os": "Alpine", "release": "edge",
  "release_title": "edge", "requirements": {{"secureboot": "false"}}, "variant": "cloud", "versions": {{
   "20261119_13:00": {{"items": {{
    "disk.qcow2": {{"ftype": "disk-kvm.img", "path": "images/alpine/edge/amd64/cloud/20261119_13:00/disk.qcow2", "sha256": "{0}", "size": 182452224}},
    "incus.tar.xz": {{"combined_disk-kvm-img_sha256": "{0}", "ftype": "incus.tar.xz", "path": "images/alpine/edge/amd64/cloud/20261119_13:00/incus.tar.xz", "sha256": "{0}", "size": 920}}
   }}}},
   "20261120_13:00": {{"items": {{
    "root.squashfs": {{"ftype": "squashfs", "path": "images/alpine/edge/amd64/cloud/20261120_13:00/rootfs.squashfs", "sha256": "{0}", "size": 9}}
   }}}}
  }}}},
 "alpine:edge:amd64:default": {{"aliases": "alpine/edge/default,alpine/edge", "arch": "amd64", "os": "Alpine",
  "release": "edge", "release_title": "edge", "variant": "default", "versions": {{
   "20261119_13:00": {{"items": {{
    "root.squashfs": {{"ftype": "squashfs", "path": "images/alpine/edge/amd64/default/20261119_13:00/rootfs.squashfs", "sha256": "{0}", "size": 9}}
   }}}}
  }}}},
 "debian:trixie:amd64:default": {{"aliases": "debian/trixie/default,debian/trixie", "arch": "amd64", "os": "Debian",
  "release": "trixie", "release_title": "trixie", "variant": "default", "versions": {{
   "20261118_05:24": {{"items": {{
    "disk.qcow2": {{"ftype": "disk-kvm.img", "path": "images/debian/trixie/amd64/default/20261118_05:24/disk.qcow2", "sha256": "{0}", "size": 380000000}}
   }}}}
  }}}}
}}}})",
        hex(64, '5'));
}

CatalogueDocument products_document(const ImageSource& source) {
    CatalogueDocument document;
    document.id = Name::parse("products-0");
    document.url = source.url.resolve("streams/v1/x.json");
    document.keyring = source.keyring;
    document.clearsigned = source.keyring.has_value();
    return document;
}

CatalogueStep read_index(const ImageSource& source, const std::string& text) {
    return read_document(source, intel, {documents_of(source, intel).front(), text, std::nullopt});
}

CatalogueStep read_products(const ImageSource& source, const std::string& text) {
    return read_document(source, intel, {products_document(source), text, std::nullopt});
}

/// A list with one product, which has one version of one disk with these fields.
std::string product_with(const std::string& item) {
    return R"({"format":"products:1.0","products":{"x":{"arch":"amd64","os":"x","release":"y","versions":{"1":{"items":{"a":{"ftype":"disk1.img",)" +
           item + "}}}}}}}";
}

TEST(Simplestreams, LeadsFromTheSignedIndexToTheSignedList) {
    const ImageSource ubuntu = test::builtin_source("ubuntu");
    const auto first = documents_of(ubuntu, intel);
    ASSERT_EQ(first.size(), 1U);
    EXPECT_EQ(first.front().url.to_string(),
              "https://cloud-images.ubuntu.com/releases/streams/v1/index.sjson");
    EXPECT_TRUE(first.front().is_signed());

    const CatalogueStep step = read_index(ubuntu, ubuntu_index);
    ASSERT_EQ(step.documents.size(), 1U);
    EXPECT_EQ(step.documents.front().url.to_string(),
              "https://cloud-images.ubuntu.com/releases/streams/v1/com.ubuntu.cloud:released:download.sjson");
    EXPECT_TRUE(step.documents.front().is_signed());
    EXPECT_TRUE(step.problems.empty());
}

TEST(Simplestreams, NeverTakesAnUnsignedListFromASignedIndex) {
    std::string index = ubuntu_index;
    for (auto at = index.find(".sjson"); at != std::string::npos; at = index.find(".sjson")) {
        index.replace(at, 6, ".json");
    }
    const CatalogueStep step = read_index(test::builtin_source("ubuntu"), index);
    ASSERT_EQ(step.documents.size(), 1U);
    EXPECT_TRUE(step.documents.front().url.to_string().ends_with("download.sjson"));
}

TEST(Simplestreams, AsksForThePlainIndexWithoutAKeyring) {
    const auto documents = documents_of(test::builtin_source("ubuntu", false), intel);
    EXPECT_TRUE(documents.front().url.to_string().ends_with("streams/v1/index.json"));
    EXPECT_FALSE(documents.front().is_signed());
}

TEST(Simplestreams, TakesTheNewestDiskOfUbuntu) {
    const CatalogueStep step = read_products(test::builtin_source("ubuntu"), ubuntu_products());
    EXPECT_TRUE(step.problems.empty());
    ASSERT_EQ(step.entries.size(), 1U) << "an abandoned release, or another machine's";
    const CatalogueEntry& entry = step.entries.front();
    EXPECT_EQ(entry.name.to_string(), "ubuntu-24-04");
    EXPECT_EQ(entry.aliases, std::vector{Name::parse("ubuntu-noble")});
    EXPECT_EQ(entry.title, "Ubuntu 24.04 LTS (Noble Numbat)");
    EXPECT_EQ(entry.version.to_string(), "20261018");
    EXPECT_EQ(entry.url.to_string(), "https://cloud-images.ubuntu.com/releases/server/releases/noble/"
                                     "release-20261018/ubuntu-24.04-server-cloudimg-amd64.img");
    EXPECT_EQ(entry.size, 629145600U);
    EXPECT_EQ(entry.checksum, Checksum::of_hex(hex(64, '3')));
    EXPECT_EQ(entry.verification, Verification::signature);
}

TEST(Simplestreams, ReadsAListWithItsSignatureAroundIt) {
    const CatalogueStep step =
        read_products(test::builtin_source("ubuntu"), "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n" +
                                                          ubuntu_products() +
                                                          "\n-----BEGIN PGP SIGNATURE-----\n\nx\n"
                                                          "-----END PGP SIGNATURE-----\n");
    EXPECT_EQ(step.entries.size(), 1U);
}

TEST(Simplestreams, TakesDisksOfTheLinuxContainersServer) {
    const ImageSource source =
        test::own_source(SourceKind::simplestreams, "https://images.linuxcontainers.org");
    const CatalogueStep step = read_products(source, lxc_products());
    EXPECT_TRUE(step.problems.empty());
    ASSERT_EQ(step.entries.size(), 2U);
    EXPECT_EQ(step.entries[0].name.to_string(), "alpine-edge-cloud");
    EXPECT_EQ(step.entries[0].version.to_string(), "20261119_13-00") << "the newest that has a disk";
    EXPECT_EQ(step.entries[0].title, "Alpine edge (cloud)");
    EXPECT_EQ(step.entries[0].url.to_string(),
              "https://images.linuxcontainers.org/images/alpine/edge/amd64/cloud/20261119_13:00/disk.qcow2");
    EXPECT_EQ(step.entries[0].verification, Verification::checksum);
    EXPECT_EQ(step.entries[1].name.to_string(), "debian-trixie");
}

TEST(Simplestreams, RefusesWhatIsNone) {
    const ImageSource source = test::own_source(SourceKind::simplestreams, "https://example.org/");
    for (const char* text :
         {"", "<html></html>", "[]", "{}", "null", "7", R"({"format":"index:2.0","index":{}})",
          R"({"format":"index:1.0","index":{},"format":"index:1.0"})", R"({"format":"index:1.0"})",
          R"({"format":"index:1.0","index":[]})", R"({"format":"products:1.0","products":{}})"}) {
        const CatalogueStep step = read_index(source, text);
        EXPECT_TRUE(step.documents.empty()) << text;
        EXPECT_EQ(step.problems.size(), 1U) << text;
    }
    for (const char* text : {"", "[]", R"({"format":"index:1.0"})", R"({"products":{}})"}) {
        EXPECT_EQ(read_products(source, text).problems.size(), 1U) << text;
    }
    for (const char* text : {R"({"format":"products:1.0"})", R"({"format":"products:1.0","products":[{}]})",
                             R"({"format":"products:1.0","products":{"a":[],"b":7,"c":{"arch":"amd64"}}})"}) {
        EXPECT_TRUE(read_products(source, text).entries.empty()) << text;
    }
    EXPECT_EQ(read_products(source, std::string(1000, '[')).problems.size(), 1U);
    EXPECT_EQ(read_index(source, std::string((4U << 20U) + 1, ' ')).problems.size(), 1U);
}

TEST(Simplestreams, IsNotLedAstrayByAnIndex) {
    const ImageSource source = test::own_source(SourceKind::simplestreams, "https://example.org/");
    for (const char* path : {"", "../x.json", "/x.json", "//evil.example/x.json",
                             "https://evil.example/x.json", "streams/../../x.json", "a\\u0000b", "a%2fb"}) {
        const CatalogueStep step = read_index(
            source, fmt::format(R"({{"format":"index:1.0","index":{{"a":{{"datatype":"image-downloads",)"
                                R"("format":"products:1.0","path":"{}"}}}}}})",
                                path));
        EXPECT_TRUE(step.documents.empty()) << path;
        EXPECT_EQ(step.problems.size(), 1U) << path;
    }
}

TEST(Simplestreams, PassesOverADiskThatIsNotAsItShouldBe) {
    const ImageSource source = test::own_source(SourceKind::simplestreams, "https://example.org/");
    const std::string good = R"("path":"a/b.img","sha256":")" + hex(64, 'a') + R"(","size":5)";
    EXPECT_EQ(read_products(source, product_with(good)).entries.size(), 1U);
    for (const std::string& item :
         {std::string(R"("path":"../b.img")"), std::string(R"("path":"https://evil.example/b.img")"),
          std::string(R"("path":"/b.img")"), std::string(R"("path":7)"), std::string(R"("sha256":"aa")"),
          R"("path":"b.img","sha256":")" + hex(128, 'a') + "\"",
          std::string(R"("path":"b.img","sha256":"zz")"), std::string(R"("path":"b.img","size":-1)"),
          std::string(R"("path":"b.img","size":0)"), std::string(R"("path":"b.img","size":1.5)"),
          std::string(R"("path":"b.img","size":"5")"),
          std::string(R"("path":"b.img","size":18446744073709551615)")}) {
        const CatalogueStep step = read_products(source, product_with(item));
        EXPECT_TRUE(step.entries.empty()) << item;
        EXPECT_EQ(step.problems.size(), 1U) << item;
    }
}

TEST(Simplestreams, OffersADiskWithoutChecksumAsUnverified) {
    const ImageSource source = test::own_source(SourceKind::simplestreams, "https://example.org/", true);
    const CatalogueStep step = read_products(source, product_with(R"("path":"b.img")"));
    ASSERT_EQ(step.entries.size(), 1U);
    EXPECT_EQ(step.entries.front().verification, Verification::none);
}

TEST(Simplestreams, BoundsProblemsAndProducts) {
    const ImageSource source = test::own_source(SourceKind::simplestreams, "https://example.org/");
    const auto list_of = [](int count, const char* path) {
        std::string text = R"({"format":"products:1.0","products":{)";
        for (int i = 0; i < count; ++i) {
            text +=
                fmt::format(R"("p{0}":{{"arch":"amd64","os":"x","release":"r{0}","versions":{{"1":{{"items":)"
                            R"({{"a":{{"ftype":"disk1.img","path":"{1}"}}}}}}}}}},)",
                            i, path);
        }
        text.back() = '}';
        return text + "}";
    };
    const CatalogueStep wrong = read_products(source, list_of(100, "../x"));
    EXPECT_EQ(wrong.problems.size(), most_problems + 1);
    const CatalogueStep many = read_products(source, list_of(3000, "x.img"));
    EXPECT_EQ(many.entries.size(), most_entries);
    EXPECT_EQ(many.problems.size(), 1U);
    const CatalogueStep too_many = read_products(source, list_of(5000, "x.img"));
    EXPECT_TRUE(too_many.entries.empty());
    EXPECT_EQ(too_many.problems.size(), 1U);
}

TEST(Simplestreams, BoundsWhatIsKeptOfAList) {
    const ImageSource source = test::own_source(SourceKind::simplestreams, "https://example.org/");
    const auto list_of = [](int disks) {
        std::string items;
        for (int i = 0; i < 4000; ++i) {
            items += fmt::format(R"("{}":{{"ftype":"qcow2","path":"x"}},)", i);
        }
        items.pop_back();
        std::string text =
            R"({"format":"products:1.0","products":{"x":{"arch":"amd64","os":"x","release":"y",)"
            R"("versions":{"0":{},"00":{"items":{}})";
        for (int version = 1; version * 4000 <= disks; ++version) {
            text += fmt::format(R"(,"{}":{{"items":{{{}}}}})", version, items);
        }
        return text + "}}}}";
    };
    EXPECT_EQ(read_products(source, list_of(8000)).entries.size(), 1U);
    const CatalogueStep too_many = read_products(source, list_of(56'000));
    EXPECT_TRUE(too_many.entries.empty());
    ASSERT_EQ(too_many.problems.size(), 1U);
    EXPECT_NE(too_many.problems.front().message.find("more than 50000 disks"), std::string::npos);
}

TEST(JsonFilter, LeavesOutWhatIsNotWanted) {
    JsonFilter filter;
    filter.wants_key = [](int depth, std::string_view key) { return depth > 1 || key != "b"; };
    filter.keeps_object = [](int depth, const Json& object) { return depth != 2 || object.contains("x"); };
    const Json json = parse_json(
        R"({"a":{"p":{"x":1},"q":{"y":1},"r":{"x":{"z":[{},{"x":2}]}}},"b":{"p":{"p":1},"q":[{"p":1}]},"c":[1,{"y":2}]})",
        filter);
    EXPECT_EQ(dump_json(json), R"({"a":{"p":{"x":1},"r":{"x":{"z":[{},{"x":2}]}}},"c":[1]})");
}

TEST(JsonFilter, RefusesAKeyTwiceAlsoWhereNothingIsWanted) {
    JsonFilter filter;
    filter.wants_key = [](int, std::string_view key) { return key == "a"; };
    EXPECT_THROW(static_cast<void>(parse_json(R"({"b":{"c":{"d":1,"d":2}}})", filter)), Error);
    EXPECT_THROW(static_cast<void>(parse_json(R"({"b":{"c":1},"e":[],"b":2})", filter)), Error);
    EXPECT_EQ(dump_json(parse_json(R"({"b":{"c":{"d":1},"e":{"d":1}},"c":{"b":2},"a":{"a":5}})", filter)),
              R"({"a":{"a":5}})");
}

} // namespace
} // namespace capsul
