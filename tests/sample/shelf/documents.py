from mongoengine import StringField, UUIDField

from core.data.documents import TenantDocument


class Note(TenantDocument):
    meta = {"collection": "shelf_notes", "indexes": ["topic", "owner_id"]}

    topic = StringField(required=True)
    owner_id = UUIDField()
