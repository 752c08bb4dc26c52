#include "daemon/router.hpp"

#include "lib/mac.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

struct Thing {
    std::string name;
    int count = 0;
    static constexpr auto fields() {
        return field_list(required("name", &Thing::name), optional("count", &Thing::count));
    }
};
struct ThingShow : Thing {
    using Result = Thing;
    static constexpr Route route{Method::get, "/v1/things/{name}", Answer::value};
};
struct ThingSet : Thing {
    using Result = Thing;
    static constexpr Route route{Method::post, "/v1/things/{name}", Answer::value};
};
struct ThingStart : Thing {
    using Result = Thing;
    static constexpr Route route{Method::post, "/v1/things/{name}/start", Answer::operation};
};
struct ThingFile : Thing {
    using Result = Thing;
    static constexpr Route route{Method::post, "/v1/files", Answer::upload};
};

Thing same(const Thing& thing) {
    return thing;
}

Router router() {
    Router router;
    router.add<ThingShow>(same);
    router.add<ThingSet>(same);
    router.add<ThingStart>(same);
    router.add<ThingFile>([](const ThingFile& file) {
        return UploadResponse{[](std::string_view) {}, [file] { return encode<Thing>(file); }};
    });
    return router;
}

JsonResponse json(Request request) {
    return std::get<JsonResponse>(router().handle(request));
}

ErrorCode refusal(const Request& request) {
    try {
        static_cast<void>(router().handle(request));
    } catch (const Error& error) {
        return error.code();
    }
    ADD_FAILURE() << "no Error was thrown";
    return ErrorCode::internal;
}

TEST(Router, TakesFieldsFromPathAndQuery) {
    const JsonResponse response = json({Method::get, "/v1/things/web", "count=3", ""});
    EXPECT_EQ(response.status, 200U);
    EXPECT_EQ(response.body, Json({{"name", "web"}, {"count", 3}}));
}

TEST(Router, TakesFieldsFromPathAndBody) {
    EXPECT_EQ(json({Method::post, "/v1/things/web", "", R"({"count": 3})"}).body,
              Json({{"name", "web"}, {"count", 3}}));
    EXPECT_EQ(json({Method::post, "/v1/things/web", "", ""}).body, Json({{"name", "web"}, {"count", 0}}));
}

TEST(Router, AnswersAnOperationWith202) {
    EXPECT_EQ(json({Method::post, "/v1/things/web/start", "", ""}).status, 202U);
}

TEST(Router, TakesTheFieldsOfAnUploadFromTheQuery) {
    const Response response = router().handle({Method::post, "/v1/files", "name=disk&count=2", ""});
    EXPECT_EQ(std::get<UploadResponse>(response).finish(), Json({{"name", "disk"}, {"count", 2}}));
}

TEST(Router, RefusesWhatItDoesNotHave) {
    EXPECT_EQ(refusal({Method::get, "/v1/other", "", ""}), ErrorCode::not_found);
    EXPECT_EQ(refusal({Method::delete_, "/v1/things/web", "", ""}), ErrorCode::invalid);
}

TEST(Router, RefusesAFieldInTheWrongPlace) {
    EXPECT_EQ(refusal({Method::post, "/v1/things/web", "", R"({"name": "db"})"}), ErrorCode::invalid);
    EXPECT_EQ(refusal({Method::get, "/v1/things/web", "name=db", ""}), ErrorCode::invalid);
    EXPECT_EQ(refusal({Method::post, "/v1/things/web", "count=3", ""}), ErrorCode::invalid);
    EXPECT_EQ(refusal({Method::get, "/v1/things/web", "", R"({"count": 3})"}), ErrorCode::invalid);
}

TEST(Router, RefusesABodyThatIsNoObjectOrHasUnknownKeys) {
    for (const char* bad : {"3", "[]", "null", "{", "{}{}", R"({"other": 1})", R"({"count": "3"})"}) {
        EXPECT_EQ(refusal({Method::post, "/v1/things/web", "", bad}), ErrorCode::invalid) << bad;
    }
}

TEST(Router, FindsTheRouteAndTheMethodsOfAPath) {
    const Router all = router();
    ASSERT_NE(all.find(Method::post, "/v1/files"), nullptr);
    EXPECT_EQ(all.find(Method::post, "/v1/files")->answer, Answer::upload);
    EXPECT_EQ(all.find(Method::get, "/v1/files"), nullptr);
    EXPECT_EQ(all.methods("/v1/things/web"), (std::vector{Method::get, Method::post}));
    EXPECT_TRUE(all.methods("/v1/other").empty());
}

} // namespace
} // namespace capsul
