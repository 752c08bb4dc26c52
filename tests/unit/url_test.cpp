#include "lib/url.hpp"

#include "lib/error.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

TEST(Url, KnowsItsParts) {
    const Url url = Url::parse("https://cloud.example.org:8443/images/debian.qcow2?mirror=1");
    EXPECT_EQ(url.scheme(), "https");
    EXPECT_EQ(url.host(), "cloud.example.org:8443");
    EXPECT_EQ(url.path(), "/images/debian.qcow2");
    EXPECT_EQ(url.file_name(), "debian.qcow2");
    EXPECT_EQ(url.folder().to_string(), "https://cloud.example.org:8443/images/");
    EXPECT_EQ(url.with_suffix(".asc").to_string(),
              "https://cloud.example.org:8443/images/debian.qcow2.asc?mirror=1");
}

TEST(Url, IsReadBackTheSame) {
    for (const char* text :
         {"https://a/", "http://192.0.2.7/x", "https://[2001:db8::7]:8080/x",
          "file:///srv/images/debian.qcow2", "https://a/b%20c/d", "https://a/?q=/../x", "https://a//b"}) {
        EXPECT_EQ(Url::parse(text).to_string(), text);
        EXPECT_EQ(Url::parse(Url::parse(text).to_string()), Url::parse(text));
    }
}

TEST(Url, WritesSchemeAndHostSmallAndAPathAlways) {
    EXPECT_EQ(Url::parse("HTTPS://Example.ORG").to_string(), "https://example.org/");
    EXPECT_EQ(Url::parse("https://example.org?x").to_string(), "https://example.org/?x");
    EXPECT_EQ(Url::parse("https://EXAMPLE.org/Path").to_string(), "https://example.org/Path");
}

TEST(Url, RefusesWhatIsNone) {
    for (const char* text : {"",
                             "example.org/x",
                             "ftp://example.org/x",
                             "javascript://example.org/x",
                             "https:/example.org/x",
                             "https:///x",
                             "https://user@example.org/x",
                             "https://user:secret@example.org/x",
                             "https://example.org/x#part",
                             "https://example.org/a b",
                             "https://example.org/a\nb",
                             "https://example.org/a\\b",
                             "https://example.org/\x7f",
                             "https://example.org/\xc3\xa4",
                             "https://example.org/{a}",
                             "https://-example.org/x",
                             "https://example..org/x",
                             "https://exa_mple.org/x",
                             "https://example.org:0/x",
                             "https://example.org:70000/x",
                             "https://example.org:/x",
                             "https://example.org:80x/",
                             "https://[2001:db8::7/x",
                             "https://[192.0.2.7]/x",
                             "https://[2001:db8::7]x/",
                             "https://2001:db8::7/x",
                             "https://example.org/../x",
                             "https://example.org/a/./b",
                             "https://example.org/a/..",
                             "https://example.org/%2e%2E/x",
                             "https://example.org/a%2fb",
                             "https://example.org/a%5Cb",
                             "https://example.org/a%00b",
                             "https://example.org/a%0ab",
                             "https://example.org/a%4",
                             "https://example.org/a%",
                             "https://example.org/a%zz",
                             "file://host/x",
                             "file:///",
                             "file://x",
                             "file:///etc/../x",
                             "file:////etc/x",
                             "file:///x?y"}) {
        EXPECT_THROW(static_cast<void>(Url::parse(text)), Error) << text;
    }
    EXPECT_THROW(static_cast<void>(Url::parse("https://a/" + std::string(Url::longest, 'x'))), Error);
    EXPECT_THROW(static_cast<void>(Url::parse("https://" + std::string(64, 'a') + ".org/")), Error);
    EXPECT_THROW(static_cast<void>(Url::parse(std::string_view("https://a/\0b", 12))), Error);
}

TEST(Url, SaysWhichRuleWasBroken) {
    try {
        static_cast<void>(Url::parse("https://me:secret@example.org/"));
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::invalid);
        EXPECT_NE(std::string(error.what()).find("password"), std::string::npos) << error.what();
        EXPECT_FALSE(error.hint().empty());
    }
}

TEST(Url, ResolvesPathsBelowItsFolder) {
    const Url base = Url::parse("https://example.org/releases/SHA256SUMS?x=1");
    EXPECT_EQ(base.resolve("debian.qcow2").to_string(), "https://example.org/releases/debian.qcow2");
    EXPECT_EQ(base.resolve("streams/v1/com.ubuntu.cloud:released:download.json").to_string(),
              "https://example.org/releases/streams/v1/com.ubuntu.cloud:released:download.json");
    EXPECT_EQ(Url::parse("file:///srv/x/").resolve("a/b").to_string(), "file:///srv/x/a/b");
}

TEST(Url, NeverResolvesToAnywhereElse) {
    const Url base = Url::parse("https://example.org/releases/");
    for (const char* text : {"",
                             "/etc/passwd",
                             "//evil.example/x",
                             "https://evil.example/x",
                             "../x",
                             "a/../../x",
                             "a/..",
                             "./a",
                             ".",
                             "..",
                             "a//b",
                             "a/",
                             "a\\b",
                             "a%2fb",
                             "%2e%2e/x",
                             "a?b",
                             "a#b",
                             "a b",
                             "a\nb",
                             "file:///x",
                             "javascript:x",
                             "user@host:x/y",
                             "{a}",
                             "\xc3\xa4"}) {
        EXPECT_THROW(static_cast<void>(base.resolve(text)), Error) << text;
    }
    EXPECT_THROW(static_cast<void>(base.resolve(std::string(256, 'x'))), Error);
}

TEST(Url, NeverLeadsToAFileOrToWhatIsLessSafe) {
    const Url https = Url::parse("https://a/");
    const Url http = Url::parse("http://a/");
    const Url file = Url::parse("file:///a");
    EXPECT_TRUE(https.may_lead_to(Url::parse("https://b/")));
    EXPECT_FALSE(https.may_lead_to(http));
    EXPECT_FALSE(https.may_lead_to(file));
    EXPECT_TRUE(http.may_lead_to(https));
    EXPECT_TRUE(http.may_lead_to(http));
    EXPECT_FALSE(http.may_lead_to(file));
    EXPECT_TRUE(file.may_lead_to(file));
    EXPECT_TRUE(file.may_lead_to(https));
}

} // namespace
} // namespace capsul
